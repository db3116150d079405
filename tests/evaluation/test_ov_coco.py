import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmclip.evaluation import OVCocoMetric

META = dict(
    classes=('cat', 'dog', 'cow', 'emu'),
    base_classes=('cat', 'dog'),
    novel_classes=('cow',),
    unseen_classes=('emu',),
)
BOXES = [[10.0, 10, 50, 50], [60.0, 60, 90, 90]]


def sample(truth, found, scores=None):
    """One image with labelled boxes, and what was found in it."""
    made = DetDataSample(
        metainfo=dict(
            img_id=0,
            ori_shape=(100, 100),
            instances=[
                dict(bbox=BOXES[box], bbox_label=label, ignore_flag=0)
                for box, label in truth
            ],
        )
    )
    made.pred_instances = InstanceData(
        bboxes=torch.tensor([BOXES[box] for box, _ in found]).reshape(-1, 4),
        labels=torch.tensor([label for _, label in found], dtype=torch.long),
        scores=torch.tensor(scores or [0.9] * len(found)),
    )
    return made.to_dict()


def evaluate(*samples):
    metric = OVCocoMetric()
    metric.dataset_meta = META
    for i, one in enumerate(samples):
        one['img_id'] = i
        metric.process({}, [one])
    return metric.evaluate(len(samples))


def test_each_group_has_its_own_figure():
    found = evaluate(sample([(0, 0), (1, 2)], [(0, 0), (1, 0)], [0.9, 0.8]))
    assert found['coco/bbox_base_mAP_50'] == pytest.approx(1)
    assert found['coco/bbox_novel_mAP_50'] == 0
    assert found['coco/bbox_mAP_50'] == pytest.approx(0.5)


def test_a_group_without_ground_truth_is_minus_one():
    found = evaluate(sample([(0, 0)], [(0, 0)]))
    assert found['coco/bbox_unseen_mAP'] == -1
    assert found['coco/bbox_base_mAP'] == pytest.approx(1)


def test_finding_nothing_at_all_is_zero_and_no_error():
    found = evaluate(sample([(0, 0), (1, 2)], []))
    assert found['coco/bbox_base_mAP_50'] == 0
    assert found['coco/bbox_novel_mAP_50'] == 0


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match='proposal'):
        OVCocoMetric(metric=['bbox', 'proposal'])
