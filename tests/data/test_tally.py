"""What a dataset gives to its pipeline is counted and judged."""

from collections import Counter

import pytest

from mmclip.data import tally


def texts(findings, spoils=True):
    return [f.text for f in findings if f.spoils == spoils]


def counted_in(*infos):
    counted = tally.Tally()
    for info in infos:
        counted.add(info)
    return counted


def image(*boxes, label=0, **changes):
    instances = [dict(bbox=box, bbox_label=label) for box in boxes]
    info = dict(width=64, height=48, instances=instances, img_path=__file__)
    return info | changes


def test_sound_images_are_counted_without_findings():
    counted = counted_in(
        image((0, 0, 9, 9), (1, 1, 5, 5)), image((0, 0, 64, 48))
    )
    assert counted.boxes == [2, 1]
    assert counted.labels == {0: 3}
    assert tally.check_tally(counted, ['cat']) == []


def test_missing_images_are_counted_and_the_first_named():
    infos = [image((0, 0, 9, 9), img_path=f'no/{i}.jpg') for i in range(5)]
    (text,) = texts(tally.check_tally(counted_in(*infos), ['cat']))
    assert '5 of 5 image files' in text
    assert 'no/0.jpg, no/1.jpg, no/2.jpg:' in text


def test_an_image_in_memory_or_of_the_web_needs_no_file():
    drawn = image((0, 0, 9, 9), img_path='no.jpg', img='pixels')
    far = image((0, 0, 9, 9), img_path='s3://bucket/no.jpg')
    assert tally.check_tally(counted_in(drawn, far), ['cat']) == []


def test_labels_beyond_the_classes_are_a_fault():
    counted = counted_in(image((0, 0, 9, 9)), image((0, 0, 9, 9), label=3))
    (text,) = texts(tally.check_tally(counted, ['cat']))
    assert 'labels 3 are beyond the 1 classes' in text


@pytest.mark.parametrize(
    ('box', 'said'),
    [
        ((5, 5, 5, 9), '1 boxes have no width or height'),
        ((70, 5, 80, 9), '1 boxes lie outside their image'),
        ((-9, 5, 0, 9), '1 boxes lie outside their image'),
    ],
)
def test_bad_boxes_that_reach_the_pipeline_are_a_fault(box, said):
    (text,) = texts(tally.check_tally(counted_in(image(box)), ['cat']))
    assert said in text


def test_empty_images_and_classes_are_noted():
    counted = counted_in(image((0, 0, 9, 9)), image())
    found = tally.check_tally(counted, ['cat', 'dog'])
    assert texts(found) == []
    assert texts(found, spoils=False) == [
        '1 images (50.0 %) have no box',
        "1 classes have no box, such as 'dog'",
    ]


def test_a_dataset_without_any_box_is_a_fault():
    (text,) = texts(tally.check_tally(counted_in(image(), image()), ['cat']))
    assert 'there is not one box' in text


def test_ignored_boxes_are_not_counted():
    info = image((0, 0, 9, 9), (0, 0, 9, 9))
    info['instances'][0]['ignore_flag'] = 1
    assert counted_in(info).boxes == [1]


def test_a_label_of_a_hidden_class_in_training_is_a_leak():
    labels = Counter({0: 5, 1: 2})
    (text,) = texts(tally.check_leak(labels, ['cat', 'dog'], {'dog', 'cow'}))
    assert text.startswith('leak: the training set labels 1 novel')
    assert "in 2 boxes, such as 'dog'" in text
    assert tally.check_leak(Counter({0: 5}), ['cat', 'dog'], {'dog'}) == []


def test_groups_are_described_with_their_classes_and_boxes():
    metainfo = dict(
        classes=('cat', 'dog', 'elk'),
        base_classes=('cat',),
        novel_classes=('dog', 'cow'),
        unseen_classes=(),
    )
    assert tally.describe_groups(Counter({0: 5, 2: 1}), metainfo) == (
        'base 1 of 1 classes, 5 boxes; novel 0 of 2 classes, 0 boxes; '
        'other 1 of 1 classes, 1 boxes'
    )


def test_the_most_and_the_least_frequent_classes_are_named():
    labels = Counter({0: 5, 2: 1, 7: 9})
    assert tally.describe_extremes(labels, ['cat', 'dog', 'elk'], 1) == (
        'most boxes: cat 5; fewest: elk 1'
    )
