"""The benchmark of masks and names, with a tiny untrained network."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

from benchmarks import groupvit_naming as benchmark
from mmclip.registry import DATASETS, MODELS
from tests.groupvit.test_from_pretraining import PRETRAINER
from tests.groupvit.tiny import sharpened


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A config and a checkpoint of a pretraining that never was."""
    folder = tmp_path_factory.mktemp('naming')
    torch.manual_seed(0)
    model = MODELS.build(PRETRAINER)
    sharpened(model.img_encoder)
    torch.save(dict(state_dict=model.state_dict()), folder / 'tiny.pth')
    dataset = dict(type='mmclip.ShapesPairDataset', size=32, objects=(1, 3))
    cfg = Config(
        dict(model=PRETRAINER, train_dataloader=dict(dataset=dataset))
    )
    cfg.dump(folder / 'tiny.py')
    return cfg, str(folder / 'tiny.py'), str(folder / 'tiny.pth')


@pytest.fixture(scope='module')
def scenes(files):
    dataset = DATASETS.build(files[0].train_dataloader.dataset)
    return benchmark.draw(dataset, 12, 1, (2, 4), 2.0)


def test_crowded_scenes_are_larger_and_hold_more(files, scenes):
    assert scenes.images.shape == (12, 64, 64, 3)
    assert scenes.truth.max() <= len(scenes.names)
    seen = [len(np.unique(t)) - 1 for t in scenes.truth]
    assert max(seen) > 1


@pytest.mark.parametrize('name', benchmark.VARIANTS)
def test_every_variant_segments(files, scenes, name):
    options = benchmark.VARIANTS[name]
    model = benchmark.build(files[0], files[2], scenes.names, options)
    few = benchmark.Scenes(scenes.images[:2], scenes.truth[:2], scenes.names)
    labels = benchmark.found(model, few, 'cosine', 0.5)
    assert labels.shape == (2, 64, 64)
    assert labels.max() <= len(scenes.names)


def test_the_truth_has_a_hundred_and_nothing_has_none(scenes):
    count = len(scenes.names) + 1
    perfect = benchmark.overlaps(scenes.truth, scenes.truth, count)
    assert benchmark.mean_iou(perfect) == 100
    empty = benchmark.overlaps(0 * scenes.truth, scenes.truth, count)
    assert benchmark.mean_iou(empty) == 0
    figures = benchmark.block_figures(scenes.truth, scenes)
    assert (figures == 100).all()
    assert benchmark.standard_error(figures) == 0


def test_groups_named_by_the_truth_are_right_where_most_pixels_are(
    files, scenes
):
    model = benchmark.build(files[0], files[2], scenes.names, {})
    named = benchmark.oracle(model, scenes)
    right = (named == scenes.truth).mean()
    guessed = benchmark.found(model, scenes, 'threshold', 0.0)
    assert right >= (scenes.truth == 0).mean() > 0.5
    assert right > (guessed == scenes.truth).mean()


def test_it_prints_a_table_with_the_oracle(files, capsys):
    config, checkpoint = files[1:]
    options = ['--scenes', '10', '--oracle', '--crowded', '1']
    chosen = ['--variants', 'published', 'early groups merged']
    assert benchmark.main([config, checkpoint, *options, *chosen]) == 0
    printed = capsys.readouterr().out
    assert '10 scenes of 32 px' in printed
    rows = [line for line in printed.splitlines() if line[:3] == '| p']
    assert rows[0].startswith('| published |')
    assert '+0.0 ± 0.0' in rows[0]
    assert 0 <= float(rows[0].split('|')[5]) <= 100  # the oracle
