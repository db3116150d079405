import numpy as np
import pytest
import torch

from mmclip.lseg.zero_shot_metric import (
    ZeroShotIoUMetric,
    overlaps,
    zero_shot_iou,
)

FULL, HALF = np.ones((2, 2), int), np.array([[1, 1], [0, 0]])


def test_a_perfect_map_scores_a_hundred():
    maps = np.stack([HALF, HALF[::-1]])
    assert zero_shot_iou(maps, maps, [5, 6], [5, 6]) == (100, 100)


def test_counts_of_a_class_are_summed_before_the_division():
    truth = np.stack([FULL, HALF])
    found = np.stack([FULL, FULL])
    miou, fb_iou = zero_shot_iou(found, truth, [0, 0], [0])
    assert miou == pytest.approx(100 * 6 / 8)
    assert fb_iou == pytest.approx((100 * 6 / 8 + 0) / 2)


def test_a_class_without_images_counts_as_zero():
    maps = np.stack([HALF])
    assert zero_shot_iou(maps, maps, [1], [0, 1])[0] == 50


def test_ignored_pixels_do_not_count():
    ignore = np.array([[0, 0], [1, 1]])
    counts = overlaps(FULL, HALF, ignore)
    assert counts.tolist() == [[0, 2], [0, 2]]


def test_a_class_of_another_fold_is_refused():
    maps = np.stack([HALF])
    with pytest.raises(ValueError, match=r'classes \[7\]'):
        zero_shot_iou(maps, maps, [7], [0, 1])


def data_sample(found, truth, class_id):
    return dict(
        pred_sem_seg=dict(data=torch.tensor(found)[None]),
        gt_sem_seg=dict(data=torch.tensor(truth)[None]),
        class_id=class_id,
    )


def test_the_metric_reads_mmsegs_samples_and_the_datasets_fold():
    metric = ZeroShotIoUMetric()
    metric.dataset_meta = dict(class_ids=[3, 4])
    ignored = np.where(HALF == 0, 255, HALF)
    metric.process({}, [data_sample(HALF, HALF, 3)])
    metric.process({}, [data_sample(FULL, ignored, 4)])
    figures = metric.evaluate(2)
    assert figures['zero_shot/mIoU'] == 100
    assert figures['zero_shot/FB-IoU'] == 100


def test_more_than_two_names_are_refused():
    with pytest.raises(ValueError, match='two names an image'):
        ZeroShotIoUMetric().process({}, [data_sample(2 * FULL, HALF, 0)])
