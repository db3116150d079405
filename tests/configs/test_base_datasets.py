"""Datasets and schedules that models inherit, each built by itself."""

import copy
import re

import pytest
from mmengine import registry
from mmengine.config import Config

from mmclip.jobs import config_folder

BASES = config_folder() / '_base_'


def for_detectors(path) -> bool:
    """Tell a detector's; each of the others' is in a config that builds."""
    kind = (Config.fromfile(path).get('val_evaluator') or {}).get('type', '')
    return bool(kind) and not re.search('IoU|Accuracy|30kRecall', kind)


DATASETS = list(
    filter(for_detectors, sorted((BASES / 'datasets').glob('*.py')))
)


def innermost(dataset):
    """The dataset within wrappers."""
    return innermost(dataset['dataset']) if 'dataset' in dataset else dataset


@pytest.mark.parametrize('path', DATASETS, ids=lambda p: p.stem)
def test_datasets_pipelines_and_metrics_build(path):
    cfg = Config.fromfile(path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        assert registry.DATASETS.get(loader.dataset.type)
        dataset = innermost(copy.deepcopy(loader.dataset))
        for step in dataset.pop('pipeline'):
            registry.TRANSFORMS.build(step)
        built = registry.DATASETS.build(
            dict(dataset, lazy_init=True, pipeline=[])
        )
        assert 'classes' in built.metainfo
        for key in ('sampler', 'batch_sampler'):
            if key in loader:
                assert registry.DATA_SAMPLERS.get(loader[key].type)
    if 'ann_file' not in cfg.val_evaluator or 'lvis' not in path.stem:
        options = copy.deepcopy(cfg.val_evaluator)
        assert registry.METRICS.build(options).backend


@pytest.mark.parametrize('path', DATASETS, ids=lambda p: p.stem)
def test_training_reads_base_classes_alone(path):
    dataset = innermost(Config.fromfile(path).train_dataloader.dataset)
    assert tuple(dataset.classes_of) == ('base',)


def test_coco_has_its_65_classes():
    cfg = Config.fromfile(BASES / 'datasets' / 'coco-48-17_detpro.py')
    train, val = (
        registry.DATASETS.build(
            dict(loader.dataset, lazy_init=True, pipeline=[])
        ).metainfo
        for loader in (cfg.train_dataloader, cfg.val_dataloader)
    )
    assert len(train['classes']) == 48
    assert len(val['classes']) == 65
    assert (
        train['novel_classes'] == val['novel_classes'] == val['classes'][48:]
    )


def test_rates_are_scaled_from_the_batch_that_they_are_for():
    for name, batch, rate in (
        ('detpro_20e', 16, 0.02),
        ('vild_180k', 256, 0.32),
    ):
        cfg = Config.fromfile(BASES / 'schedules' / f'{name}.py')
        assert cfg.auto_scale_lr.base_batch_size == batch
        assert cfg.optim_wrapper.optimizer.lr == rate
