"""What the recipes say is what the released code does."""

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from mmclip.jobs import find_config
from mmclip.lseg.folds import fold_classes
from tests.lseg.tiny import tiny_lseg

ADE20K = 'lseg_vit-l16-dpt_8xb2-240e_ade20k-480x480'


@pytest.fixture(scope='module')
def ade20k():
    return Config.fromfile(find_config(ADE20K))


def test_ade20k_trains_as_released(ade20k):
    optimizer = ade20k.optim_wrapper.optimizer
    assert optimizer == dict(
        type='SGD', lr=0.004, momentum=0.9, weight_decay=1e-4
    )
    assert 8 * ade20k.train_dataloader.batch_size == 16  # what lr is for
    assert ade20k.train_cfg.max_epochs == 240
    (decay,) = ade20k.param_scheduler
    assert (decay.power, decay.by_epoch, decay.end) == (0.9, True, 240)
    assert ade20k.optim_wrapper.type == 'mmengine.OptimWrapper'  # no AMP
    steps = {s.type: s for s in ade20k.train_dataloader.dataset.pipeline}
    assert steps['mmengine.RandomResize'].scale == (520, 520)
    assert steps['mmengine.RandomResize'].ratio_range == (0.5, 2.0)
    assert steps['mmseg.RandomCrop'].crop_size == (480, 480)
    assert not any('Photo' in kind for kind in steps)
    preprocessor = ade20k.model.data_preprocessor
    assert preprocessor.size == (480, 480)
    assert (preprocessor.pad_val, preprocessor.seg_pad_val) == (-1, 255)


def test_ade20k_is_tested_as_released(ade20k):
    assert ade20k.model.test_cfg == dict(
        mode='multi_scale',
        base_size=520,
        crop_size=480,
        scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        flip=True,
    )


def test_what_is_new_learns_ten_times_as_fast_as_what_was_pretrained(ade20k):
    model = tiny_lseg()
    with DefaultScope.overwrite_default_scope('mmseg'):
        wrapper = build_optim_wrapper(model, ade20k.optim_wrapper)
    rate = {
        id(p): group['lr']
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    rates = {name: rate[id(p)] / 0.004 for name, p in model.named_parameters()}
    for name, factor in rates.items():
        slow = name.startswith(('backbone', 'neck.reassemble'))
        assert factor == pytest.approx(1 if slow else 10), name


@pytest.mark.parametrize('arch', ['r101', 'vit-l16'])
@pytest.mark.parametrize('benchmark', ['pascal-5i', 'coco-20i'])
@pytest.mark.parametrize('fold', range(4))
def test_a_fold_is_tested_and_the_others_trained_on(arch, benchmark, fold):
    name = f'lseg_{arch}-dpt_1xb20-4e_{benchmark}-fold{fold}'
    cfg = Config.fromfile(find_config(name))
    kind = dict(zip(('pascal-5i', 'coco-20i'), ('pascal', 'coco')))[benchmark]
    for loader, split in (
        (cfg.train_dataloader, 'train'),
        (cfg.val_dataloader, 'test'),
        (cfg.test_dataloader, 'test'),
    ):
        dataset = dict(loader.dataset, lazy_init=True, pipeline=[])
        assert dataset['split'] == split
        with DefaultScope.overwrite_default_scope('mmseg'):
            ids = build(dataset).metainfo['class_ids']
        tested = fold_classes(kind, fold)
        assert (set(ids) == set(tested)) == (split == 'test')
        assert not set(ids) & set(tested) or split == 'test'
    assert cfg.train_cfg.max_epochs == 4
    assert cfg.param_scheduler[0].end == 240
    assert cfg.optim_wrapper.optimizer.lr == 0.004 / 16 * 20
    assert cfg.train_dataloader.batch_size == 20
    backbone = dict(r101='mmseg.ResNet', **{'vit-l16': 'mmclip.LSegViT'})
    assert cfg.model.backbone.type == backbone[arch]


def build(dataset):
    from mmengine.registry import DATASETS

    return DATASETS.build(dataset)
