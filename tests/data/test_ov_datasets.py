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


def test_metainfo_tells_where_base_and_novel_classes_stand(annotations):
    every = coco(annotations())
    assert every.metainfo['base_indices'] == (0, 1)
    assert every.metainfo['novel_indices'] == (2,)
    training = coco(annotations(), classes_of=('base',))
    assert training.metainfo['base_indices'] == (0, 1)
    assert training.metainfo['novel_indices'] == ()
    letters = lvis(annotations())
    assert letters.metainfo['base_indices'] == (0, 1)
    assert letters.metainfo['novel_indices'] == (2,)


def test_classes_may_be_a_set_by_its_name():
    dataset = OVCocoDataset(
        ann_file='',
        lazy_init=True,
        base_classes='coco-base-48',
        novel_classes='coco-novel-17',
    )
    classes = dataset.metainfo['classes']
    assert len(classes) == 65
    assert dataset.metainfo['novel_indices'] == tuple(range(48, 65))
    assert classes[48] == 'airplane'


def image_of(category, image=1, **fields):
    """A file of one image with a box of a category."""
    box = dict(
        id=1, image_id=image, category_id=category, bbox=[0, 0, 9, 9], area=81
    )
    return dict(annotations=[{**box, **fields}])


def test_an_image_of_novel_objects_has_no_box_in_training(annotations):
    path = annotations(**image_of(7))  # a dog
    dataset = coco(path, classes_of=('base',))
    assert len(dataset) == 1
    assert dataset.get_data_info(0)['instances'] == []


def test_an_image_of_novel_objects_is_left_out_where_empty_ones_are(
    annotations,
):
    two = [
        dict(id=i, image_id=i, category_id=c, bbox=[0, 0, 9, 9], area=81)
        for i, c in ((1, 7), (2, 2))
    ]
    images = [
        dict(id=i, width=64, height=64, file_name=f'{i}.jpg') for i in (1, 2)
    ]
    path = annotations(annotations=two, images=images)
    keep = dict(filter_empty_gt=True, min_size=32)
    for kind in (coco, lvis):
        training = kind(path, classes_of=('base',), filter_cfg=keep)
        assert [training.get_data_info(0)['img_id']] == [2]
        assert len(training) == 1
        assert len(kind(path, filter_cfg=keep)) == 2


def test_a_training_set_of_novel_objects_alone_is_an_error(annotations):
    keep = dict(filter_empty_gt=True)
    path = annotations(**image_of(7))
    for kind in (coco, lvis):
        with pytest.raises(ValueError, match='are all its boxes novel'):
            kind(path, classes_of=('base',), filter_cfg=keep)


def test_an_image_without_annotations_is_empty(annotations):
    path = annotations(annotations=[])
    assert coco(path).get_data_info(0)['instances'] == []


def test_a_crowd_is_read_and_ignored(annotations):
    dataset = coco(annotations(**image_of(2, iscrowd=1)))
    crowd = dataset.get_data_info(0)['instances'][0]
    assert crowd['ignore_flag'] == 1
    assert dataset.metainfo['classes'][crowd['bbox_label']] == 'cat'


def test_the_balancing_wrapper_knows_the_split(annotations):
    from mmengine.dataset import ClassBalancedDataset

    dataset = ClassBalancedDataset(
        lvis(annotations(), classes_of=('base',)), oversample_thr=1e-3
    )
    assert dataset.metainfo['classes'] == ('cat', 'cow')
    assert dataset.metainfo['novel_classes'] == ('dog',)
    assert len(dataset) == 1
