"""Metrics that tell base classes from novel ones."""

from mmclip.evaluation.ov_coco import OVCocoMetric
from mmclip.evaluation.ov_iou import OVIoUMetric
from mmclip.evaluation.ov_lvis import OVLVISMetric
from mmclip.evaluation.proposal_recall import (
    OVProposalRecall,
    proposal_recall,
)

__all__ = [
    'OVCocoMetric',
    'OVIoUMetric',
    'OVLVISMetric',
    'OVProposalRecall',
    'proposal_recall',
]
