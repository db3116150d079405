"""Cut boxes out of an image and bring them to the size that a CLIP takes.

Convention: boxes are xyxy pixels, x2 and y2 exclusive, the origin at the top
left corner of the top left pixel; what lies outside the image is black.

N boxes, S side of a crop (CLIP's input size).
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

MODES = ('crop', 'squash', 'square')
LONG = 4  # sides from 4 : 1 on are resampled in the window alone


def scale_boxes(boxes: Tensor, scale: float) -> Tensor:
    """Multiply both sides of boxes (N, 4), keeping their centres."""
    low, high = boxes[:, :2], boxes[:, 2:]
    centre, half = (low + high) / 2, (high - low) / 2 * scale
    return torch.cat([centre - half, centre + half], dim=1)


def square_boxes(boxes: Tensor) -> Tensor:
    """Make boxes (N, 4) as high as wide by growing their shorter sides."""
    low, high = boxes[:, :2], boxes[:, 2:]
    half = ((high - low) / 2).amax(dim=1, keepdim=True)
    centre = (low + high) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def integer_boxes(boxes: Tensor) -> Tensor:
    """Round boxes (N, 4) outwards to whole pixels, int64.

    A box that ends on a pixel's edge takes one pixel more, as in DetPro,
    which subtracts and adds .001 before rounding.

    Raises:
        ValueError: A box is not finite, or its ends are exchanged.
    """
    bad = ~boxes.isfinite().all(1) | (boxes[:, 2:] < boxes[:, :2]).any(1)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ValueError(
            f'box {row} is {boxes[row].tolist()}: expected finite x1, y1, x2, '
            'y2 in pixels with x1 <= x2 and y1 <= y2'
        )
    low, high = boxes[:, :2] - 0.001, boxes[:, 2:] + 0.001
    return torch.cat([low.floor(), high.ceil()], dim=1).long()


def resized_sides(height: int, width: int, size: int) -> tuple[int, int]:
    """Return height and width once the shorter side has ``size`` pixels."""
    short = min(height, width)
    return size * height // short, size * width // short


def centre_window(height: int, width: int, size: int) -> list[int]:
    """Return x1, y1, x2, y2 of the window that CLIP's centre crop keeps."""
    left, top = round((width - size) / 2), round((height - size) / 2)
    return [left, top, left + size, top + size]


def crop_boxes(
    image: Tensor, boxes: Tensor, scale: float, size: int, mode: str = 'crop'
) -> Iterator[Tensor]:
    """Cut boxes out and resize each by antialiased bicubic interpolation.

    All is done on the image's device. An 8-bit image gives 8-bit crops, equal
    to PIL's but for a grey level here and there; float crops are not rounded.

    Args:
        image: RGB (3, H, W), uint8 or float, in [0, 255].
        boxes: (N, 4), float pixels of ``image``.
        scale: Both sides of a box are multiplied by it first.
        size: S.
        mode: ``'crop'`` brings the shorter side to S and keeps the centre,
            CLIP's own preprocessing, so a long box loses its ends;
            ``'squash'`` brings both sides to S; ``'square'`` grows the
            shorter side first, so a long box keeps both ends and its shape.

    Yields:
        (3, S, S) for each box, in the image's range.

    Raises:
        ValueError: The mode is unknown, or a box is not finite.
    """
    if mode not in MODES:
        raise ValueError(
            f'unknown crop mode {mode!r}: expected one of {MODES}'
        )
    resize = fit_shorter if mode == 'crop' else squash
    # One transfer for all boxes, and corners that no half precision rounded.
    boxes = scale_boxes(boxes.float(), scale)
    if mode == 'square':
        boxes = square_boxes(boxes)
    for box in integer_boxes(boxes).tolist():
        yield resize(cut(image, box), size)


def cut(image: Tensor, box: list[int]) -> Tensor:
    """Cut whole pixels out of (C, H, W), black outside the image."""
    x1, y1, x2, y2 = box
    inside = image[:, max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
    wanted = y2 - y1, x2 - x1
    if inside.shape[1:] == wanted:
        return inside
    crop = image.new_zeros(len(image), *wanted)
    if inside.numel():
        top, left = max(-y1, 0), max(-x1, 0)
        high, wide = inside.shape[1:]
        crop[:, top : top + high, left : left + wide] = inside
    return crop


def squash(crop: Tensor, size: int) -> Tensor:
    """Resize (C, h, w) to (C, S, S), whatever its sides were."""
    return bicubic(crop, size, size)


def fit_shorter(crop: Tensor, size: int) -> Tensor:
    """Bring the shorter side of (C, h, w) to S and keep the centre."""
    high, wide = crop.shape[1:]
    height, width = resized_sides(high, wide, size)
    left, top, right, bottom = centre_window(height, width, size)
    if max(high, wide) < LONG * min(high, wide):
        return bicubic(crop, height, width)[:, top:bottom, left:right]
    # The whole of a thin box would take gigabytes; only its middle is seen.
    # Columns before rows, as in PIL, which rounds to 8 bits in between.
    if wide > high:
        weights = window_weights(wide, width, left, right, crop.device)
        return bicubic(within(crop.float() @ weights.T, crop), size, size)
    strip = bicubic(crop, high, size)  # (C, h, S)
    weights = window_weights(high, height, top, bottom, crop.device)
    return within(weights @ strip.float(), crop)


def bicubic(crop: Tensor, height: int, width: int) -> Tensor:
    """Resize (C, h, w) with antialiasing: columns, then rows.

    What bicubic weights overshoot in the first pass is cut before the second,
    and 8 bits are rounded; without that, noise comes out below 50 dB to PIL.
    PIL from 13 on begins with the rows where that is cheaper, which only
    shows in a squashed crop of a high contrast.
    """

    def resample(values: Tensor, *sides: int) -> Tensor:
        resized = F.interpolate(
            values[None], sides, mode='bicubic', antialias=True
        )[0]
        return within(resized, crop)

    if crop.dtype == torch.uint8 and crop.device.type == 'cpu':
        return resample(crop, height, width)  # rounds in between by itself
    # torch has 8-bit interpolation on the CPU alone.
    across = resample(crop.float(), crop.shape[1], width)
    return resample(across.float(), height, width)


def within(values: Tensor, like: Tensor) -> Tensor:
    """Cut what bicubic weights overshoot; return the type of ``like``."""
    if values.dtype == torch.uint8:
        return values
    values = values.clamp(0, 255)
    return values if like.is_floating_point() else values.round().to(like)


def window_weights(
    length: int, resized: int, start: int, stop: int, device=None
) -> Tensor:
    """Return the bicubic weights of some of the resized pixels.

    Args:
        length: Pixels before.
        resized: Pixels of the whole after.
        start: The first of those wanted.
        stop: The one after the last.
        device: Where the weights go.

    Returns:
        Rows that sum to 1, float32 (stop - start, length).
    """
    step = length / resized
    places = torch.arange(start, stop, dtype=torch.float64)
    centres = (places + 0.5) * step
    sources = torch.arange(length, dtype=torch.float64) + 0.5
    far = (sources - centres[:, None]).abs() / max(step, 1.0)
    near = (1.5 * far - 2.5) * far**2 + 1  # the cubic kernel with a = -.5
    wide = ((-0.5 * far + 2.5) * far - 4) * far + 2
    weights = torch.where(far < 1, near, torch.where(far < 2, wide, 0.0))
    return (weights / weights.sum(1, keepdim=True)).float().to(device)
