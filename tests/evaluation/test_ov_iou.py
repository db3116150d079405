import numpy as np
import pytest
import torch

from mmclip.evaluation import OVIoUMetric
from mmclip.evaluation.ov_iou import group_iou, groups_of, harmonic_mean

META = dict(
    classes=('background', 'red circle', 'red star', 'blue star'),
    base_classes=('red circle',),
    novel_classes=('red star',),
    unseen_classes=('blue star',),
)


def sample(found, truth):
    return dict(
        pred_sem_seg=dict(data=torch.tensor(found)),
        gt_sem_seg=dict(data=torch.tensor(truth)),
    )


def figures(found, truth, meta=META):
    metric = OVIoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = meta
    metric.process({}, [sample(found, truth)])
    return metric.evaluate(1)


def test_each_group_is_averaged_over_its_own_classes():
    truth = [[0, 0, 1, 1], [2, 2, 3, 255]]
    found = [[0, 0, 1, 2], [2, 2, 2, 1]]
    result = figures(found, truth)
    assert result['base_mIoU'] == 50
    assert result['novel_mIoU'] == 50
    assert result['unseen_mIoU'] == 0
    assert result['hIoU'] == 50
    assert result['mIoU'] == pytest.approx((100 + 50 + 50 + 0) / 4)


def test_a_group_without_pixels_is_nan():
    result = figures([[0, 1]], [[0, 1]])
    assert result['base_mIoU'] == 100
    assert np.isnan(result['novel_mIoU'])


def test_groups_that_are_empty_or_absent_are_not_reported():
    assert groups_of(dict(META, unseen_classes=())) == {
        'base': ['red circle'],
        'novel': ['red star'],
    }
    own = group_iou(np.ones(2), np.ones(2), ['a', 'b'], {'base': ['a']})
    assert own == {'base_mIoU': 1.0}


def test_the_harmonic_mean_of_nothing_is_nothing():
    assert harmonic_mean(0.0, 0.0) == 0
    assert harmonic_mean(0.5, 1.0) == pytest.approx(2 / 3)
