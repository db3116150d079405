"""GLIPv2's recipe of the shapes world: trained, tested and drawn."""

import math
import runpy
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mmclip.jobs import find_config

ROOT = Path(__file__).parents[2]
NAME = 'glipv2_r18_fpn_shapes'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Two steps of the recipe, and its test on two images a task."""
    cfg = Config.fromfile(find_config(NAME))
    cfg.work_dir = str(tmp_path_factory.mktemp('glipv2'))
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.update(interval=2)
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.sampler.update(
        batch_size=4, source_ratio=[1, 1, 1, 1]
    )
    loader = cfg.val_dataloader.dataset.datasets
    for part in [*cfg.train_dataloader.dataset.datasets, *loader]:
        part.num_images = 2
    cfg.visualizer.name = 'glipv2'
    with pytest.MonkeyPatch.context() as patch:
        # laying the config's text out five times is most of the time
        patch.setattr(Config, 'pretty_text', property(lambda c: repr(c)))
        runner = Runner.from_cfg(cfg)
        runner.train()
    return runner


def test_every_task_has_its_figures(run):
    scalars = run.message_hub.log_scalars
    figures = {
        key.removeprefix('val/'): float(log.current())
        for key, log in scalars.items()
        if key.startswith('val/')
    }
    wanted = {
        'coco/bbox_mAP',
        'coco/segm_mAP',
        'flickr30k/R@1',
        'vqa/accuracy',
        'vqa/constant_by_type',
        'caption/CIDEr',
        'caption/constant_CIDEr',
    }
    assert wanted <= set(figures)
    assert all(math.isfinite(figures[key]) for key in wanted)
    losses = [key for key in scalars if key.startswith('train/loss_')]
    assert len(losses) == 8


def test_the_answers_are_drawn(run, tmp_path, capsys):
    draw = runpy.run_path(str(ROOT / 'tools/glip/draw_tasks.py'))
    out = tmp_path / 'sheet.png'
    checkpoint = str(Path(run.work_dir) / 'iter_2.pth')
    code = draw['main']([NAME, checkpoint, str(out), '--images', '1'])
    assert code == 0
    assert f'written: {out}' in capsys.readouterr().out
    with Image.open(out) as sheet:
        assert sheet.size[1] > 4 * 200  # a row for each of four data sets
