import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmclip.lseg.zero_shot_datasets import (
    COCO20iDataset,
    FSS1000Dataset,
    PASCAL5iDataset,
)

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.Resize', scale=(16, 16), keep_ratio=False),
    dict(type='mmseg.PackSegInputs', meta_keys=('class_id', 'text')),
]


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def root(tmp_path):
    """Two images; a is a bus (6) and a dog (12), b is a dog."""
    for folder in ('images', 'maps'):
        (tmp_path / folder).mkdir()
    for name, values in (('a', (6, 12)), ('b', (12, 12))):
        label = np.zeros((12, 10), np.uint8)
        label[:4, :], label[4:8, :] = values
        label[8, :] = 255
        cv2.imwrite(str(tmp_path / f'images/{name}.jpg'), label)
        cv2.imwrite(str(tmp_path / f'maps/{name}.png'), label)
    (tmp_path / 'list.txt').write_text('a__06\na__12\nb__12\n')
    return tmp_path


def pascal(root, **options):
    return PASCAL5iDataset(
        **{
            'fold': 1,
            'data_root': str(root),
            'ann_file': 'list.txt',
            'data_prefix': dict(img_path='images', seg_map_path='maps'),
            'pipeline': PIPELINE,
            **options,
        }
    )


def test_a_test_has_the_folds_own_classes_and_two_names(root):
    (item,) = pascal(root)
    sample = item['data_samples']
    assert sample.text == ['others', 'bus']
    assert sample.class_id == 5
    values = np.unique(sample.gt_sem_seg.data.numpy(), return_counts=True)
    assert values[0].tolist() == [0, 1, 255]


def test_training_has_the_other_folds_classes(root):
    items = list(pascal(root, split='train'))
    assert [i['data_samples'].text[1] for i in items] == ['dog', 'dog']
    first = items[0]['data_samples'].gt_sem_seg.data
    assert 0 < (first == 1).float().mean() < 0.5


def test_boundaries_count_as_others_where_asked(root):
    (item,) = pascal(root, keep_ignored=False)
    assert item['data_samples'].gt_sem_seg.data.unique().tolist() == [0, 1]


def test_a_test_takes_its_items_in_turn(root):
    items = pascal(root, fold=2, num_images=5)
    assert len(items) == 5
    assert [items.get_data_info(k)['img_path'][-5] for k in range(5)] == list(
        'ababa'
    )


def test_coco_has_every_fourth_class(root):
    (root / 'list.txt').write_text('a__01\na__05\nb__02\n')
    data = COCO20iDataset(
        fold=0,
        data_root=str(root),
        ann_file='list.txt',
        data_prefix=dict(img_path='images', seg_map_path='maps'),
    )
    assert [data.get_data_info(k)['text'][1] for k in range(len(data))] == [
        'person',
        'airplane',
    ]
    assert len(data.metainfo['classes']) == 21


def test_fss_is_read_from_folders_of_classes(tmp_path):
    (tmp_path / 'test.txt').write_text('ab_wheel\nabacus\n')
    for name in ('ab_wheel', 'abacus'):
        (tmp_path / name).mkdir()
        for k in (1, 2, 10):
            mask = np.zeros((8, 8, 3), np.uint8)
            mask[:2] = 255
            cv2.imwrite(str(tmp_path / name / f'{k}.jpg'), mask)
            cv2.imwrite(str(tmp_path / name / f'{k}.png'), mask)
    data = FSS1000Dataset(
        data_root=str(tmp_path), ann_file='test.txt', pipeline=PIPELINE
    )
    assert len(data) == 6
    assert data.metainfo['class_ids'] == [0, 1]
    assert data.get_data_info(2)['img_path'].endswith('10.jpg')
    sample = data[0]['data_samples']
    assert sample.text == ['others', 'ab wheel']
    assert sample.gt_sem_seg.data.float().mean() == pytest.approx(0.25)


@pytest.mark.parametrize('line', ['a', 'a__x', 'a__00'])
def test_a_line_that_is_no_pair_is_refused(root, line):
    (root / 'list.txt').write_text(line)
    with pytest.raises(ValueError, match='expected NAME__CC'):
        pascal(root)


def test_a_list_without_the_fold_is_refused(root):
    with pytest.raises(ValueError, match='lists no image'):
        pascal(root, fold=0)


def test_an_absent_list_says_what_writes_one(root):
    with pytest.raises(FileNotFoundError, match='zero_shot_lists'):
        pascal(root, ann_file='none.txt')


def test_an_unknown_split_is_refused(root):
    with pytest.raises(ValueError, match="split='val'"):
        pascal(root, split='val')
