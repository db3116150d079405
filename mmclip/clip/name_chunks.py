"""Find the best of many names without the scores of all of them in memory.

B images, K names, H x W pixels.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

Best = tuple[Tensor, Tensor]


def best_labels(
    chunks: Iterable[tuple[int, Tensor]],
    metas: Sequence[dict],
    finish: Callable[[Tensor, dict], Tensor],
) -> list[Tensor]:
    """Return the best name of every pixel of every image.

    The labels are those of ``argmax`` over the scores of all names, the first
    of equals included.

    Args:
        chunks: Yields (first name, scores (B, some, H, W)), in order.
        metas: What ``finish`` needs to know of each image.
        finish: Brings an image's scores (some, H, W) to their final size.

    Returns:
        Labels (H, W) of each image.
    """
    best: list[Best | None] = [None] * len(metas)
    for start, scores in chunks:
        for i, meta in enumerate(metas):
            top, label = finish(scores[i], meta).max(dim=0)
            best[i] = better(best[i], (top, label + start))
    return [label for _, label in best]


def better(old: Best | None, new: Best) -> Best:
    """Take the better (score, label) of each pixel; the first where equal."""
    if old is None:
        return new
    ahead = new[0] > old[0]
    return tuple(torch.where(ahead, n, o) for o, n in zip(old, new))
