"""Box deltas of the TF release, whose boxes include their last pixel.

Convention: a box xyxy is ``x2 - x1 + 1`` wide and its centre is at
``x1 + width / 2``. Deltas are dx, dy, dw, dh as everywhere in mmdet; the
release writes them y first, which the conversion of a checkpoint undoes.
"""

import math

import torch
from mmdet.models.task_modules.coders import LegacyDeltaXYWHBBoxCoder
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from mmclip.registry import TASK_UTILS

LARGEST = math.log(1000 / 16)  # of dw and dh


@TASK_UTILS.register_module()
class ViLDBBoxCoder(LegacyDeltaXYWHBBoxCoder):
    """Encode like mmdet 1, decode back to the same convention.

    mmdet's legacy coder leaves out half a pixel on each side when it decodes,
    and bounds dw and dh from below as well. Source: tensorflow/tpu detection,
    box_utils.py; weights 10, 10, 5, 5 are ``target_stds`` .1, .1, .2, .2.
    """

    def decode(
        self,
        bboxes,
        pred_bboxes: Tensor,
        max_shape: tuple[int, int] | None = None,
        wh_ratio_clip: float | None = None,
    ) -> Tensor:
        """Return boxes (R, 4) of deltas (R, 4) to ``bboxes`` (R, 4).

        Args:
            bboxes: Where the deltas start from, xyxy.
            pred_bboxes: Deltas.
            max_shape: Height and width to clip to: the last pixel is H - 1.
            wh_ratio_clip: Not used; dw and dh are at most log(1000 / 16).
        """
        bboxes = get_box_tensor(bboxes).to(pred_bboxes)
        means = pred_bboxes.new_tensor(self.means)
        deltas = pred_bboxes * pred_bboxes.new_tensor(self.stds) + means
        sizes = bboxes[:, 2:] - bboxes[:, :2] + 1  # (R, 2): width, height
        centres = bboxes[:, :2] + sizes / 2 + deltas[:, :2] * sizes
        sizes = sizes * deltas[:, 2:].clamp(max=LARGEST).exp()
        corners = centres - sizes / 2
        decoded = torch.cat([corners, corners + sizes - 1], dim=1)
        if max_shape is not None:
            height, width = max_shape[:2]
            limit = decoded.new_tensor([width, height, width, height]) - 1
            decoded = decoded.clamp(min=0).minimum(limit)
        return decoded
