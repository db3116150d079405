import json

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


def evaluate(*samples, **options):
    metric = OVCocoMetric(**options)
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


def test_other_arguments_without_effect_are_refused():
    with pytest.raises(ValueError, match='takes no iou_thrs'):
        OVCocoMetric(iou_thrs=[0.5])


def test_classwise_reports_every_class_under_its_name():
    one = sample([(0, 0), (1, 2)], [(0, 0), (1, 0)])
    found = evaluate(one, classwise=True)
    assert found['coco/bbox_mAP_50/cat'] == pytest.approx(1)
    assert found['coco/bbox_mAP/cow'] == 0
    assert found['coco/bbox_mAP/emu'] == -1


def test_the_last_limit_is_that_of_precision():
    """Two cats, one of them found after two misses."""
    boxes = [(1, 0), (1, 0), (0, 0)]
    one = sample([(0, 0)], boxes, [0.9, 0.8, 0.7])
    assert evaluate(one, proposal_nums=(1, 2))['coco/bbox_mAP'] == 0
    assert evaluate(one, proposal_nums=(3, 1))['coco/bbox_AR@3'] == 1


def test_both_backends_say_the_same():
    one = sample([(0, 0), (1, 2)], [(0, 0), (1, 0), (1, 2)], [0.9, 0.8, 0.7])
    ours = evaluate(one, sample([(1, 1)], []), classwise=True)
    two = sample([(0, 0), (1, 2)], [(0, 0), (1, 0), (1, 2)], [0.9, 0.8, 0.7])
    theirs = evaluate(
        two, sample([(1, 1)], []), classwise=True, backend='pycocotools'
    )
    assert ours == theirs
    assert len(ours) == 12 + 3 * 3 + 2 * 4


@pytest.mark.parametrize('backend', ['hotcoco', 'pycocotools'])
def test_a_set_without_any_object_is_minus_one(backend):
    found = evaluate(sample([], [(0, 0)]), backend=backend)
    assert found['coco/bbox_mAP'] == found['coco/bbox_base_mAP'] == -1


@pytest.mark.parametrize('backend', ['hotcoco', 'pycocotools'])
def test_a_crowd_is_no_miss_and_its_finder_no_error(backend):
    one = sample([(0, 0), (1, 0)], [(1, 0), (0, 0)], [0.9, 0.8])
    one['instances'][1]['ignore_flag'] = 1
    found = evaluate(one, backend=backend)
    assert found['coco/bbox_mAP'] == pytest.approx(1)


def test_a_class_that_the_file_lacks_is_named(tmp_path):
    path = tmp_path / 'truth.json'
    content = dict(
        images=[dict(id=0, height=9, width=9)],
        annotations=[],
        categories=[dict(id=1, name='cat')],
    )
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"3 classes .*'dog'"):
        evaluate(sample([], []), ann_file=str(path))
