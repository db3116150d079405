import json

import numpy as np
import pytest
from mmengine.registry import DATASETS
from PIL import Image

NAMES = ['dog', 'bus', 'cat', 'cup']
VALUES = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name in ('images', 'maps'):
        (tmp_path / name).mkdir()
    Image.new('RGB', (3, 2)).save(tmp_path / 'images' / 'a.jpg')
    Image.fromarray(VALUES).save(tmp_path / 'maps' / 'a.png')
    (tmp_path / 'names.txt').write_text('\n'.join(NAMES))
    return tmp_path


def build(folder, **options):
    options = {
        'names': NAMES,
        'base_classes': ['cat', 'dog'],
        'novel_classes': ['bus'],
        **options,
    }
    return DATASETS.build(
        dict(
            type='mmclip.OVSegDataset',
            data_root=str(folder),
            data_prefix=dict(img_path='images', seg_map_path='maps'),
            pipeline=[
                dict(type='mmcv.LoadImageFromFile'),
                dict(type='mmseg.LoadAnnotations'),
                dict(type='mmseg.PackSegInputs'),
            ],
            **options,
        )
    )


def labels(dataset):
    return dataset[0]['data_samples'].gt_sem_seg.data[0].tolist()


def test_testing_knows_base_and_novel_and_ignores_what_is_neither(folder):
    dataset = build(folder)
    assert dataset.metainfo['classes'] == ('background', 'cat', 'dog', 'bus')
    assert dataset.metainfo['novel_classes'] == ('bus',)
    assert labels(dataset) == [[0, 2, 3], [1, 255, 255]]
    assert len(dataset.metainfo['palette']) == 4


def test_training_ignores_novel_pixels_rather_than_call_them_background(
    folder,
):
    dataset = build(folder, classes_of=('base',))
    assert dataset.metainfo['classes'] == ('background', 'cat', 'dog')
    assert labels(dataset) == [[0, 2, 255], [1, 255, 255]]
    assert dataset.metainfo['novel_classes'] == ()


def test_the_background_may_be_ignored(folder):
    dataset = build(folder, background=None)
    assert dataset.metainfo['classes'] == ('cat', 'dog', 'bus')
    assert labels(dataset) == [[255, 1, 2], [0, 255, 255]]


@pytest.mark.parametrize('kind', ['txt', 'json'])
def test_names_come_from_a_file(folder, kind):
    coco = [dict(id=7 * k + 1, name=name) for k, name in enumerate(NAMES)]
    (folder / 'names.json').write_text(json.dumps(dict(categories=coco)))
    dataset = build(folder, names=str(folder / f'names.{kind}'))
    assert labels(dataset) == labels(build(folder))


def test_published_splits_are_known_by_name(folder):
    dataset = build(
        folder,
        base_classes='coco-base-48',
        novel_classes='coco-novel-17',
        lazy_init=True,
    )
    assert len(dataset.metainfo['classes']) == 66


def test_a_class_without_a_value_is_an_error(folder):
    with pytest.raises(ValueError, match=r"1 of the 3 classes.*'cow'"):
        build(folder, base_classes=['cow'])


def test_no_class_is_base_and_novel(folder):
    with pytest.raises(ValueError, match='base and novel'):
        build(folder, novel_classes=['dog'])
