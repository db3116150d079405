"""Check and pad the label maps that a segmentor is trained on.

H x W pixels.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.structures import PixelData


def check_mask(sample, size) -> None:
    """Raise a ValueError where a mask has another size than its image."""
    found = tuple(sample.gt_sem_seg.data.shape[-2:])
    if found != tuple(size):
        raise ValueError(
            f'a mask of {found} pixels came with an image of {tuple(size)}: '
            'resize and crop both in the pipeline (LoadAnnotations belongs '
            'before the resizing in training)'
        )


def pad_masks(samples: Sequence, size, ignore_index: int) -> None:
    """Pad ground truth with the ignored label to ``size``."""
    for sample in samples:
        mask = sample.gt_sem_seg.data
        down, right = (w - s for w, s in zip(size, mask.shape[-2:]))
        if down or right:
            mask = F.pad(mask, (0, right, 0, down), value=ignore_index)
            sample.gt_sem_seg = PixelData(data=mask)
