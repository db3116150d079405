import numpy as np
import pytest

from mmclip.evaluation.detections import Detections

MASK = dict(size=[4, 4], counts=b'04L0')


def result(image, labels, **fields):
    n = len(labels)
    boxes = np.arange(4 * n, dtype=np.float32).reshape(n, 4)
    scores = np.linspace(0.9, 0.1, n, dtype=np.float32)
    fields = dict(bboxes=boxes, scores=scores) | fields
    return dict(img_id=image, labels=np.array(labels, int), **fields)


def test_images_are_joined_and_corners_become_sizes():
    found = Detections.from_results(
        [result(7, [1, 0]), result(3, []), result(9, [1])], [40, 50]
    )
    assert found.image_ids.tolist() == [7, 7, 9]
    assert found.category_ids.tolist() == [50, 40, 50]
    assert found.boxes.tolist()[1] == [4, 5, 2, 2]
    assert found.table().shape == (3, 7)


def test_nothing_found_is_columns_of_no_rows():
    for results in ([result(7, [])], []):
        found = Detections.from_results(results, [1])
        assert len(found) == 0
        assert found.table().shape == (0, 7)
        assert found.records('bbox') == []


def test_masks_have_their_own_scores_and_no_box_in_records():
    one = result(1, [0], masks=[MASK], mask_scores=np.array([0.25]))
    found = Detections.from_results([one], [5], 'segm')
    assert found.records('segm') == [
        dict(image_id=1, category_id=5, score=0.25, segmentation=MASK)
    ]
    assert Detections.from_results([one], [5]).scores[0] == pytest.approx(0.9)


def test_boxes_without_masks_are_an_error_for_segm():
    with pytest.raises(ValueError, match='image 4 has 2 boxes and 0 masks'):
        Detections.from_results([result(4, [0, 0])], [1], 'segm')


def test_records_come_back_as_they_were():
    records = [
        dict(image_id=1, category_id=2, score=0.5, bbox=[0.1, 0.2, 3.3, 4.7]),
        dict(image_id=2, category_id=3, score=0.4, bbox=[1.0, 2.0, 3.0, 4.0]),
    ]
    assert Detections.from_records(records).records('bbox') == records


def test_a_category_keeps_its_best_over_all_images():
    records = [
        dict(image_id=i, category_id=c, score=s, bbox=[i, 0, 1, 1])
        for i, (c, s) in enumerate(
            [(1, 0.2), (1, 0.9), (2, 0.1), (1, 0.2), (1, 0.5)]
        )
    ]
    kept = Detections.from_records(records).best_of_categories(3)
    assert kept.image_ids.tolist() == [0, 1, 2, 4]  # the earlier .2 stays
    assert kept.category_ids.tolist() == [1, 1, 2, 1]
