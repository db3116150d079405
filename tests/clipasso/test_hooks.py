import json
import signal
from pathlib import Path

import pytest
from PIL import Image

from mmclip.clipasso.hooks import SketchExportHook
from mmclip.clipasso.sketcher import DivergedError
from mmclip.clipasso.svg import read_svg
from tests.clipasso.sketching import pictures, sketch
from tests.clipasso.test_loop import LossThatBreaks, SignalAt  # noqa: F401

EXPORT = dict(
    type='mmclip.SketchExportHook',
    formats=['svg', 'png', 'animated_svg', 'gif'],
    size=100,
    preview_interval=2,
)
SHOW = dict(type='mmclip.SketchVisualizationHook', interval=2)
VISUALIZER = dict(
    type='mmengine.Visualizer',
    vis_backends=[dict(type='mmengine.LocalVisBackend')],
)


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    """A run of two images with all hooks, and its folder."""
    folder = tmp_path_factory.mktemp('done')
    images = pictures(folder / 'in', 2)
    runner = sketch(
        folder,
        images,
        batch_size=2,
        hooks=[EXPORT, SHOW, dict(type='mmclip.SketchProgressBarHook')],
        visualizer=VISUALIZER,
    )
    return runner, folder


def test_every_format_is_written_for_every_image(done):
    runner, folder = done
    names = {f.name for f in (folder / 'sketches').iterdir()}
    ends = ('.svg', '.json', '.png', '_animated.svg', '.gif', '_beside.png')
    assert names == {f'p{k}{end}' for k in (0, 1) for end in ends}
    with Image.open(folder / 'sketches/p0.png') as picture:
        assert picture.size == (100, 100)
    with Image.open(folder / 'sketches/p1_beside.png') as picture:
        assert picture.size == (128, 64)


def test_the_svg_and_the_json_tell_of_the_best(done):
    runner, folder = done
    for record in runner.model.album.values():
        kept = read_svg(folder / f'sketches/{record.name}.svg')
        assert (kept.points - record.drawing.points).abs().max() < 1e-4
        told = json.loads(
            (folder / f'sketches/{record.name}.json').read_text()
        )
        assert told['network'] == 'shapes-clip (knows drawn shapes only)'
        assert told['loss'] == record.loss
        assert told['finished'] is True
        assert set(told['losses']) == {'0', '1000'}


def test_starts_sketches_and_losses_are_shown(done):
    runner, _ = done
    folder = Path(runner.log_dir)
    shown = {f.name for f in folder.rglob('*.png')}
    for k in (0, 1):
        assert f'p{k}_start_0.png' in shown
        assert {f'p{k}_sketch_0.png', f'p{k}_sketch_12.png'} <= shown
        assert f'p{k}_loss_12.png' in shown
    scalars = (folder / 'vis_data/scalars.json').read_text()
    assert '"p0/best_loss"' in scalars


def test_the_best_so_far_is_on_disk_when_a_run_is_interrupted(tmp_path):
    images = pictures(tmp_path / 'in')
    stop = dict(type='mmclip.SignalAt', step=6, number=signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        sketch(tmp_path, images, hooks=[EXPORT, stop])
    told = json.loads((tmp_path / 'sketches/p0.json').read_text())
    assert told['finished'] is False
    evaluated = [v for curve in told['losses'].values() for v in curve]
    assert told['loss'] == min(loss for _, loss in evaluated)
    assert len(read_svg(tmp_path / 'sketches/p0.svg').points) == 3


def test_the_best_so_far_is_on_disk_when_a_loss_is_no_number(tmp_path):
    losses = [
        dict(type='mmclip.CLIPSemanticLoss'),
        dict(type='mmclip.LossThatBreaks', call=7),
    ]
    with pytest.raises(DivergedError, match='is kept'):
        sketch(
            tmp_path,
            pictures(tmp_path / 'in'),
            hooks=[EXPORT],
            model=dict(losses=losses),
        )
    assert (tmp_path / 'sketches/p0.svg').is_file()


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="formats has 'pdf'"):
        SketchExportHook(formats=['pdf'])


def test_who_watches_sees_every_evaluation_and_may_end_the_run(tmp_path):
    seen = []

    def watch(step, records):
        seen.append((step, records[0].loss))
        return len(seen) < 2

    from mmclip.inference.sketcher import Sketcher

    (image,) = pictures(tmp_path / 'in')
    sketcher = Sketcher(2, clip='shapes-clip', seeds=1, iters=1000)
    found = sketcher(image, watch=watch)
    steps = [step for step, _ in seen]
    assert steps[1] == sketcher.cfg.train_cfg.eval_interval
    assert len(found['points']) == 2
    assert found['loss'] <= seen[0][1]
    assert found['losses']['0'][-1][0] < 50
