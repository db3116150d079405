"""Boxes whose right and bottom pixels belong to them, as GLIP codes them.

Convention: xyxy pixels with inclusive ends, so a box of one pixel has x2 =
x1; its width is x2 - x1 + 1. N boxes.
"""

import math

import torch
from mmdet.models.task_modules.coders import BaseBBoxCoder
from torch import Tensor

from mmclip.registry import TASK_UTILS

LARGEST = math.log(1000 / 16)  # of the logarithm of a growth, as published


@TASK_UTILS.register_module()
class GLIPBBoxCoder(BaseBBoxCoder):
    """Code inclusive boxes as shifts and growths of inclusive anchors.

    mmdet's ``DeltaXYWHBBoxCoderForGLIP`` encodes exclusive anchors, decodes
    to inclusive boxes, and bounds the growth below too; this one is the
    published one, both ways.

    Args:
        target_stds: What deltas are divided by.
    """

    encode_size = 4

    def __init__(
        self, target_stds: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    ) -> None:
        super().__init__()
        self.stds = tuple(target_stds)

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        """Return the deltas (N, 4) that turn ``bboxes`` into the others."""
        centre, size = centre_and_size(bboxes)
        gt_centre, gt_size = centre_and_size(gt_bboxes)
        shift = (gt_centre - centre) / size
        growth = (gt_size / size).log()
        deltas = torch.cat((shift, growth), dim=1)
        return deltas / deltas.new_tensor(self.stds)

    def decode(
        self,
        bboxes: Tensor,
        pred_bboxes: Tensor,
        max_shape: tuple[int, ...] | None = None,
    ) -> Tensor:
        """Apply deltas (N, 4) to anchors; clip to the image's (h, w)."""
        centre, size = centre_and_size(bboxes)
        deltas = pred_bboxes * pred_bboxes.new_tensor(self.stds)
        shift, growth = deltas.split(2, dim=1)
        centre = centre + shift * size
        half = (growth.clamp(max=LARGEST).exp() * size - 1) / 2
        boxes = torch.cat((centre - half, centre + half), dim=1)
        if max_shape is None:
            return boxes
        height, width = max_shape[:2]
        last = boxes.new_tensor((width, height, width, height)) - 1
        return torch.minimum(boxes.clamp(min=0), last)


def centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return centres and sizes, (N, 2) each, of inclusive boxes."""
    first, last = boxes.split(2, dim=1)
    return (first + last) / 2, last - first + 1
