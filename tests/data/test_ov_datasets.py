import json

import numpy as np
import pytest

from mmclip.data.ov_datasets import OVCocoDataset, OVLVISV1Dataset

CATEGORIES = [  # neither ids nor order are those of the classes
    dict(id=7, name='dog', frequency='r'),
    dict(id=2, name='cat', frequency='f'),
    dict(id=5, name='cow', frequency='c'),
]


@pytest.fixture
def annotations(tmp_path):
    """Write a file with one box of each category in one image."""

    def write(**changes):
        boxes = [
            dict(
                id=i,
                image_id=1,
                category_id=category['id'],
                bbox=[10 * i, 0, 9, 9],
                area=81,
                iscrowd=0,
            )
            for i, category in enumerate(CATEGORIES)
        ]
        image = dict(
            id=1,
            width=64,
            height=64,
            coco_url='http://host/val2017/000001.jpg',
        )
        content = dict(
            images=[image], annotations=boxes, categories=CATEGORIES
        )
        content.update(changes)
        path = tmp_path / 'annotations.json'
        path.write_text(json.dumps(content))
        return str(path)

    return write


def coco(ann_file, **options):
    options = (
        dict(base_classes=('cat', 'cow'), novel_classes=('dog',)) | options
    )
    return OVCocoDataset(
        ann_file=ann_file, data_prefix=dict(img='images'), **options
    )


def named_boxes(dataset):
    """The left edge of each box by the name that its label stands for."""
    names = dataset.metainfo['classes']
    return {
        names[i['bbox_label']]: i['bbox'][0]
        for i in dataset.get_data_info(0)['instances']
    }


def test_labels_follow_the_classes_whatever_the_order_of_the_file(annotations):
    dataset = coco(annotations())
    assert dataset.metainfo['classes'] == ('cat', 'cow', 'dog')
    assert named_boxes(dataset) == {'dog': 0, 'cat': 10, 'cow': 20}


def test_training_sees_no_box_of_a_novel_class(annotations):
    dataset = coco(annotations(), classes_of=('base',))
    assert named_boxes(dataset) == {'cat': 10, 'cow': 20}
    assert dataset.metainfo['novel_classes'] == ('dog',)


def test_an_image_is_found_by_name_or_by_url(annotations):
    info = coco(annotations()).get_data_info(0)
    assert info['img_path'] == 'images/val2017/000001.jpg'


def test_a_file_without_the_base_classes_is_an_error(annotations):
    with pytest.raises(ValueError, match=r"lacks 1 of the 2 .*'emu'"):
        coco(annotations(), base_classes=('emu',))


def test_a_class_without_a_box_does_not_stop_the_filter(annotations):
    more = [*CATEGORIES, dict(id=9, name='emu', frequency='f')]
    dataset = coco(
        annotations(categories=more),
        base_classes=('cat', 'emu'),
        classes_of=('base',),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
    )
    assert len(dataset) == 1


def test_a_class_is_base_or_novel(annotations):
    with pytest.raises(ValueError, match='both|base and novel'):
        coco(annotations(), novel_classes=('cat',))


def lvis(ann_file, **options):
    return OVLVISV1Dataset(
        ann_file=ann_file, data_prefix=dict(img=''), **options
    )


def test_lvis_is_split_by_frequency_letters_and_ids(annotations):
    dataset = lvis(annotations())
    assert dataset.metainfo['classes'] == ('cat', 'cow', 'dog')
    assert dataset.metainfo['category_ids'] == (2, 5, 7)
    assert dataset.metainfo['base_classes'] == ('cat', 'cow')
    assert dataset.metainfo['novel_classes'] == ('dog',)
    assert named_boxes(lvis(annotations(), classes_of=('base',))) == {
        'cat': 10,
        'cow': 20,
    }


def test_two_lvis_classes_of_one_name_stay_apart(annotations):
    twins = [dict(c, name='cat') for c in CATEGORIES]
    info = lvis(annotations(categories=twins)).get_data_info(0)
    assert sorted(i['bbox_label'] for i in info['instances']) == [0, 1, 2]


def test_lvis_without_frequencies_is_an_error(annotations):
    bare = [dict(id=c['id'], name=c['name']) for c in CATEGORIES]
    with pytest.raises(ValueError, match='frequency'):
        lvis(annotations(categories=bare))


def test_boxes_keep_their_pixels(annotations):
    box = coco(annotations()).get_data_info(0)['instances'][1]['bbox']
    assert np.allclose(box, [10, 0, 19, 9])
