import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from mmclip.data.semantic_datasets import panoptic_names, said
from tests.lseg.tiny import NAMES, tiny_lseg

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]


@pytest.fixture
def root(tmp_path):
    for folder, value in (('first', 1), ('second', 2)):
        (tmp_path / folder).mkdir()
        image = np.full((64, 64, 3), 50, np.uint8)
        Image.fromarray(image).save(tmp_path / folder / 'a.jpg')
        label = np.full((64, 64), value, np.uint8)
        Image.fromarray(label).save(tmp_path / folder / 'a.png')
    return tmp_path


def build(**config):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(config)


def of_folder(root, folder, **options):
    return dict(
        data_root=str(root),
        data_prefix=dict(img_path=folder, seg_map_path=folder),
        pipeline=PIPELINE,
        **options,
    )


@pytest.mark.parametrize(
    ('name', 'wanted'),
    [
        ('tree-merged', 'tree'),
        ('floor-other-merged', 'floor'),
        ('wall-brick', 'brick wall'),
        ('door-stuff', 'door'),
        ('window-blind', 'window blind'),
        ('traffic light', 'traffic light'),
    ],
)
def test_a_panoptic_name_is_said_as_one_would(name, wanted):
    assert said(name) == wanted


def test_the_133_names_all_differ():
    names = panoptic_names()
    assert len(set(names)) == len(names) == 133
    assert names[0] == 'person'
    assert names[-1] == 'rug'
    assert not any('-' in name for name in names)


def test_maps_of_coco_are_read(root):
    data = build(
        type='mmclip.COCOPanopticSegDataset', **of_folder(root, 'first')
    )
    assert len(data) == 1
    assert data.metainfo['classes'][1] == 'bicycle'
    assert (data[0]['data_samples'].gt_sem_seg.data == 1).all()


@pytest.fixture
def both(root):
    sets = [
        dict(
            type='mmclip.OwnNamesDataset',
            dataset=dict(
                type='mmseg.BaseSegDataset',
                metainfo=dict(classes=names),
                img_suffix='.jpg',
                seg_map_suffix='.png',
                **of_folder(root, folder),
            ),
        )
        for folder, names in (('first', NAMES[:2]), ('second', NAMES[2:5]))
    ]
    ignored = ['classes', 'palette', 'label_map', 'reduce_zero_label']
    return build(
        type='mmengine.ConcatDataset', ignore_keys=ignored, datasets=sets
    )


def test_sets_of_other_names_are_joined_and_each_keeps_its_own(both):
    assert len(both) == 2
    texts = [both[k]['data_samples'].text for k in range(2)]
    assert texts == [NAMES[:2], NAMES[2:5]]
    assert both.get_data_info(1)['img_path'].endswith('second/a.jpg')


def test_a_batch_of_both_is_trained_on(both):
    model = tiny_lseg().train()
    batch = [both[k] for k in range(2)]
    data = model.data_preprocessor(
        {key: [each[key] for each in batch] for key in batch[0]}, True
    )
    losses = model(**data, mode='loss')
    losses['decode.loss_ce'].backward()
    assert torch.isfinite(losses['decode.loss_ce'])
    assert model.decode_head.project.weight.grad.abs().max() > 0
