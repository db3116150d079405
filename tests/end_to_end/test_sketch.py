"""The recipe for shapes, through the door that trains any config."""

import json

from mmclip import cli
from tests.clipasso.sketching import draw_picture


def test_a_recipe_sketches_what_the_command_line_names(tmp_path):
    image = draw_picture(tmp_path / 'a.png')
    code = cli.main(
        [
            'train',
            'clipasso_shapes-clip_shapes',
            '--work-dir',
            str(tmp_path / 'run'),
            '--cfg-options',
            f'train_dataloader.dataset.images={image}',
            'train_cfg.num_iters=11',
            'model.num_seeds=2',
            'model.num_strokes=4',
        ]
    )
    assert code == 0
    told = json.loads((tmp_path / 'run/sketches/a.json').read_text())
    assert told['network'] == 'shapes-clip (knows drawn shapes only)'
    first = min(curve[0][1] for curve in told['losses'].values())
    assert told['loss'] < first
    shown = {f.name for f in (tmp_path / 'run').rglob('*.png')}
    assert {'a.png', 'a_start_0.png', 'a_loss_11.png'} <= shown
    scalars = next((tmp_path / 'run').rglob('scalars.json')).read_text()
    assert 'sketch/ink' in scalars  # the metrics of train_cfg.evaluator
