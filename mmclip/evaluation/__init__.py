"""Metrics that tell base classes from novel ones."""

from mmclip.evaluation.ov_coco import OVCocoMetric
from mmclip.evaluation.ov_lvis import OVLVISMetric

__all__ = ['OVCocoMetric', 'OVLVISMetric']
