"""Test as LSeg's authors do: several scales, mirrored windows, summed scores.

B images, K names, H x W pixels.

Convention: sizes change bilinearly with align_corners=True; windows start at
the top left and the last ones are cut at the border and padded again, where
mmseg's move inwards.
"""

import math
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def multi_scale_scores(
    score: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    base_size: int = 520,
    crop_size: int = 480,
    scales: Sequence[float] = SCALES,
    flip: bool = True,
    padding: Tensor | None = None,
) -> Tensor:
    """Sum raw scores over scales and mirror images.

    Args:
        score: Takes normalised images (B, 3, crop, crop), returns scores
            (B, K, crop, crop).
        image: Normalised images (B, 3, H, W).
        base_size: Length of the longer side at scale 1.
        crop_size: Side of the windows.
        scales: Factors on ``base_size``.
        flip: Whether the mirrored window's scores are added.
        padding: Colour (3, 1, 1) beyond the border; 0 by default.

    Returns:
        Scores (B, K, H, W). They grow with the number of scales.
    """
    total = None
    for scale in scales:
        size = long_side_to(image.shape[2:], math.ceil(base_size * scale))
        scores = sliding_scores(
            score, resized(image, size), crop_size, flip, padding
        )
        scores = resized(scores, image.shape[2:])
        total = scores if total is None else total + scores
    return total


def sliding_scores(
    score: Callable,
    image: Tensor,
    crop: int,
    flip: bool = True,
    padding: Tensor | None = None,
) -> Tensor:
    """Average windows' scores where they overlap; (B, K, H, W).

    Arguments are those of :func:`multi_scale_scores`.
    """

    def of_window(window: Tensor) -> Tensor:
        scores = score(window)
        if flip:
            scores = scores + score(window.flip(3)).flip(3)
        return scores

    high, wide = image.shape[2:]
    if max(high, wide) <= crop:
        window = padded(image, crop, crop, padding)
        return of_window(window)[:, :, :high, :wide]
    whole = padded(image, max(high, crop), max(wide, crop), padding)
    total, count = None, None
    for rows in spans(whole.shape[2], crop):
        for columns in spans(whole.shape[3], crop):
            cut = whole[:, :, rows, columns]
            scores = of_window(padded(cut, crop, crop, padding))
            if total is None:
                shape = (*scores.shape[:2], *whole.shape[2:])
                total = scores.new_zeros(shape)
                count = scores.new_zeros((1, 1, *whole.shape[2:]))
            scores = scores[:, :, : cut.shape[2], : cut.shape[3]]
            total[:, :, rows, columns] += scores
            count[:, :, rows, columns] += 1
    return (total / count)[:, :, :high, :wide]


def spans(side: int, crop: int) -> list[slice]:
    """Return where windows of ``crop`` at stride 2/3 of it begin and end."""
    stride = int(crop * 2 / 3)
    count = math.ceil((side - crop) / stride) + 1
    return [
        slice(k * stride, min(k * stride + crop, side)) for k in range(count)
    ]


def long_side_to(size, long: int) -> tuple[int, int]:
    """Return (h, w) with the longer side ``long`` and the same shape."""
    high, wide = size
    if high > wide:
        return long, max(int(wide * long / high + 0.5), 1)
    return max(int(high * long / wide + 0.5), 1), long


def resized(x: Tensor, size) -> Tensor:
    """Resize (B, C, H, W) bilinearly with align_corners=True."""
    return F.interpolate(x, tuple(size), mode='bilinear', align_corners=True)


def padded(
    image: Tensor, high: int, wide: int, padding: Tensor | None
) -> Tensor:
    """Pad images at the right and bottom to (high, wide)."""
    down, right = high - image.shape[2], wide - image.shape[3]
    if down == right == 0:
        return image
    if padding is None:
        padding = image.new_zeros(image.shape[1], 1, 1)
    full = padding.to(image).expand(len(image), -1, high, wide).clone()
    full[:, :, : image.shape[2], : image.shape[3]] = image
    return full
