"""Metrics that tell base classes from novel ones, and those of phrases."""

from mmclip.evaluation.caption_scores import CaptionScores
from mmclip.evaluation.odinw import ODinWMeanAP
from mmclip.evaluation.of_task import OfTask
from mmclip.evaluation.ov_coco import OVCocoMetric
from mmclip.evaluation.ov_iou import OVIoUMetric
from mmclip.evaluation.ov_lvis import OVLVISMetric
from mmclip.evaluation.phrase_iou import PhraseCutIoU
from mmclip.evaluation.phrase_recall import Flickr30kRecall
from mmclip.evaluation.proposal_recall import (
    OVProposalRecall,
    proposal_recall,
)
from mmclip.evaluation.vqa_accuracy import VQAAccuracy

__all__ = [
    'CaptionScores',
    'Flickr30kRecall',
    'ODinWMeanAP',
    'OVCocoMetric',
    'OVIoUMetric',
    'OVLVISMetric',
    'OVProposalRecall',
    'OfTask',
    'PhraseCutIoU',
    'VQAAccuracy',
    'proposal_recall',
]
