"""Metrics that tell base classes from novel ones."""

from mmclip.evaluation.ov_coco import OVCocoMetric, average_precision
from mmclip.evaluation.ov_iou import OVIoUMetric
from mmclip.evaluation.ov_lvis import OVLVISMetric

__all__ = ['OVCocoMetric', 'OVIoUMetric', 'OVLVISMetric', 'average_precision']
