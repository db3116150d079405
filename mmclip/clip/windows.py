"""Cut images into mmseg's sliding windows, and join the windows' scores.

B images, H x W pixels.

Convention: windows start at the top left; the last ones move inwards, so that
all have the size of the crop where the image has.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

EVERYTHING = slice(None)


def windows_of(size, test_cfg) -> list[tuple]:
    """Return index tuples into (B, some, H, W) of the windows.

    Args:
        size: (H, W).
        test_cfg: mmseg's: ``mode`` 'whole' or 'slide', ``crop_size``,
            ``stride``.
    """
    if test_cfg.get('mode', 'whole') == 'whole':
        return [(EVERYTHING,) * 4]
    rows, columns = (
        window_spans(side, crop, stride)
        for side, crop, stride in zip(
            size, test_cfg['crop_size'], test_cfg['stride']
        )
    )
    return [(EVERYTHING, EVERYTHING, r, c) for r in rows for c in columns]


def window_spans(side: int, crop: int, stride: int) -> list[slice]:
    """Return the windows along one side."""
    count = max(side - crop + stride - 1, 0) // stride + 1
    ends = [min(k * stride + crop, side) for k in range(count)]
    return [slice(max(end - crop, 0), end) for end in ends]


def join_windows(
    parts: Sequence[Tensor],
    windows: Sequence[tuple],
    inputs: Tensor,
    upsample: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Average windows' scores where they overlap, as mmseg does.

    Args:
        parts: Scores of each window, at the head's resolution.
        windows: What ``windows_of`` returned.
        inputs: The images (B, 3, H, W).
        upsample: Takes a part and its window of the images, returns scores
            of the window's size.

    Returns:
        Scores (B, some, H, W).
    """
    if len(windows) == 1:
        return upsample(parts[0], inputs)
    total, count = None, 0
    for scores, window in zip(parts, windows):
        scores = upsample(scores, inputs[window])
        if total is None:
            shape = (*scores.shape[:2], *inputs.shape[2:])
            total = scores.new_zeros(shape)
            count = scores.new_zeros((len(inputs), 1, *inputs.shape[2:]))
        total[window] += scores
        count[window] += 1
    return total / count
