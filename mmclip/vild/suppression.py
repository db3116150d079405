"""Keep the best of overlapping detections.

R regions of an image, M detections kept, K names.
"""

from mmdet.models.layers import multiclass_nms
from mmengine.structures import InstanceData

from mmclip.registry import TASK_UTILS


def suppress(result: InstanceData, cfg) -> InstanceData:
    """Keep the best boxes of an image and name their labels.

    Args:
        result: Has ``bboxes`` (R, 4) and ``scores`` (R, K + 1).
        cfg: ``test_cfg`` of the RoI head.
    """
    boxes, scores = result.bboxes.float(), result.scores.float()
    kind = cfg.nms.get('type', 'nms')
    if isinstance(kind, str) and '.' not in kind:  # one of mmcv's
        dets, labels = multiclass_nms(
            boxes, scores, cfg.score_thr, cfg.nms, cfg.max_per_img
        )
    else:
        dets, labels, _ = TASK_UTILS.build(cfg.nms)(
            boxes, scores[:, :-1], cfg.score_thr, cfg.max_per_img
        )
    kept = InstanceData()
    kept.bboxes, kept.scores, kept.labels = dets[:, :4], dets[:, 4], labels
    return kept
