"""mmengine's visualizer backends take what our runs show."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.runner import Runner

from tests.clipasso.sketching import pictures, sketch
from tests.end_to_end.tiny import tiny_config

pytest.importorskip(
    'tensorboard', reason='it comes with pip install "mmclip[test]"'
)
BACKENDS = [
    dict(type='mmengine.LocalVisBackend'),
    dict(type='mmengine.TensorboardVisBackend'),
]


def events(log_dir):
    """Read what TensorBoard would show."""
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    (file,) = Path(log_dir).rglob('events.out.tfevents.*')
    return EventAccumulator(str(file)).Reload()


def local(log_dir) -> list[dict]:
    (file,) = Path(log_dir).rglob('scalars.json')
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_detector_shows_losses_metrics_and_pictures_in_both(tmp_path):
    cfg = tiny_config(tmp_path, max_iters=2)
    cfg.train_cfg.val_interval = 2
    cfg.visualizer.vis_backends = BACKENDS
    cfg.custom_hooks[2].update(count=2, visualize=True)
    runner = Runner.from_cfg(cfg)
    runner.train()
    shown = events(runner.log_dir)
    losses = [e.value for e in shown.Scalars('loss')]
    assert len(losses) == 2
    told = [r['loss'] for r in local(runner.log_dir) if 'loss' in r]
    assert np.allclose(losses, told)
    assert 'coco/bbox_novel_mAP_50' in shown.Tags()['scalars']
    assert shown.Tags()['images'] == ['picture_0000', 'picture_0001']
    files = Path(runner.log_dir).rglob('vis_image/*.png')
    assert sorted(f.name for f in files) == [
        'picture_0000_2.png',
        'picture_0001_2.png',
    ]


def test_a_sketch_shows_its_start_itself_and_its_losses_in_both(tmp_path):
    runner = sketch(
        tmp_path,
        pictures(tmp_path / 'in'),
        hooks=[dict(type='mmclip.SketchVisualizationHook', interval=2)],
        visualizer=dict(type='mmengine.Visualizer', vis_backends=BACKENDS),
    )
    shown = events(runner.log_dir)
    images = set(shown.Tags()['images'])
    assert images == {'p0_start', 'p0_sketch', 'p0_loss'}
    best = [e.value for e in shown.Scalars('p0/best_loss')]
    assert best == sorted(best, reverse=True)
    told = [
        r['p0/best_loss']
        for r in local(runner.log_dir)
        if 'step' in r and 'p0/best_loss' in r
    ]
    assert np.allclose(best, told)
