import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmclip.registry import TASK_UTILS
from mmclip.vild.suppression import suppress


class Recorder:
    """A suppression that keeps the last region and tells what it got."""

    calls = []

    def __init__(self, iou_threshold):
        self.iou_threshold = iou_threshold

    def __call__(self, boxes, scores, score_thr, max_per_img):
        self.calls.append((scores.shape, score_thr, max_per_img))
        dets = torch.cat([boxes[-1:], scores[-1:, :1]], dim=1)
        return dets, torch.tensor([0]), torch.tensor([len(boxes) - 1])


def found(regions=3, names=2, dtype=torch.float32):
    corner = torch.arange(regions)[:, None] * 20.0
    return InstanceData(
        bboxes=torch.cat([corner, corner, corner + 10, corner + 10], 1).to(
            dtype
        ),
        scores=torch.rand(regions, names + 1).to(dtype),
    )


def config(**nms):
    return ConfigDict(score_thr=0.0, nms=nms, max_per_img=4)


def test_mmdets_own_suppression_is_the_default():
    result = found()
    kept = suppress(result, config(type='nms', iou_threshold=0.5))
    assert len(kept) == 4  # of six disjoint candidates, the best
    best = result.scores[:, :-1].flatten().sort(descending=True)[0][:4]
    torch.testing.assert_close(kept.scores, best)


def test_a_registered_suppression_takes_its_place_without_background():
    TASK_UTILS.register_module(name='RecorderNMS', module=Recorder, force=True)
    try:
        result = found()
        kept = suppress(
            result, config(type='mmclip.RecorderNMS', iou_threshold=0.5)
        )
    finally:
        TASK_UTILS.module_dict.pop('RecorderNMS')
    assert Recorder.calls == [((3, 2), 0.0, 4)]
    torch.testing.assert_close(kept.bboxes, result.bboxes[-1:])
    assert kept.labels.tolist() == [0]


def test_half_precision_and_no_regions_are_no_matter():
    cfg = config(type='nms', iou_threshold=0.5)
    assert suppress(found(dtype=torch.float16), cfg).bboxes.dtype == (
        torch.float32
    )
    assert len(suppress(found(0), cfg)) == 0
