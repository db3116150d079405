"""In which order the strokes of a sketch say most, soonest.

N strokes. A ``measure`` takes masks of strokes (K, N) and returns the loss of
each of the K sketches that are left.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mmclip.clipasso.strokes import keep_strokes


def greedy_order(
    measure: Callable[[Tensor], Tensor],
    ends: Tensor,
    travel: float = 0.0,
) -> list[int]:
    """Order the strokes of a finished sketch by how much each adds.

    The next stroke is the one that lowers the loss most, less ``travel``
    times the pixels from the last one's end to its start. It asks for
    N (N + 1) / 2 losses.

    Args:
        measure: See above.
        ends: First and last point of each stroke, in pixels (N, 2, 2).
        travel: Loss that a pixel of the pen's way is worth.

    Returns:
        The strokes' numbers, the first to draw first.
    """
    chosen: list[int] = []
    while len(chosen) < len(ends):
        rest = [k for k in range(len(ends)) if k not in chosen]
        masks = torch.zeros(len(rest), len(ends), dtype=torch.bool)
        masks[:, chosen] = True
        masks[torch.arange(len(rest)), rest] = True
        cost = measure(masks).cpu()
        if travel and chosen:
            way = ends[rest, 0] - ends[chosen[-1], 1]
            cost = cost + travel * way.norm(dim=1).cpu()
        chosen.append(rest[int(cost.argmin())])
    return chosen


def prefix_losses(
    measure: Callable[[Tensor], Tensor], order: list[int]
) -> Tensor:
    """Return the losses of 0, 1, ..., N strokes of an order (N + 1,)."""
    masks = torch.zeros(len(order) + 1, len(order), dtype=torch.bool)
    for k, stroke in enumerate(order):
        masks[k + 1 :, stroke] = True
    return measure(masks)


def prefix_auc(losses: Tensor) -> float:
    """Return how soon a sketch is one, 1 if it is after the first stroke.

    The mean over k = 1 ... N of (L_0 - L_k) / (L_0 - L_N), where L_k is the
    loss of the first k strokes.

    Args:
        losses: (N + 1,), from the empty canvas on.

    Raises:
        ValueError: The whole sketch is no better than the empty canvas.
    """
    gained = losses[0] - losses[-1]
    if not gained > 0:
        raise ValueError(
            f'the sketch has the loss {float(losses[-1]):.4g}, the empty '
            f'canvas {float(losses[0]):.4g}: there is no gain to share out'
        )
    return float(((losses[0] - losses[1:]) / gained).mean())


def order_sketch(sketcher, sketch: int, travel: float = 0.0) -> list[int]:
    """Return the greedy order of one of the sketches at work.

    Args:
        sketcher: As for :func:`measure_subsets`.
        sketch: Likewise.
        travel: As for :func:`greedy_order`.
    """
    points = sketcher.strokes().points[sketch].detach()  # (N, S, 4, 2)
    ends = torch.stack([points[:, 0, 0], points[:, -1, 3]], dim=1)
    return greedy_order(measure_subsets(sketcher, sketch), ends, travel)


def measure_subsets(sketcher, sketch: int, chunk: int = 16):
    """Return a ``measure`` of one of the sketches at work.

    Args:
        sketcher: A :class:`mmclip.clipasso.sketcher.CLIPassoSketcher` after
            ``begin``.
        sketch: Which of its sketches.
        chunk: Pictures that it looks at in one go.
    """
    strokes = sketcher.strokes().copy().rows(slice(sketch, sketch + 1))

    def measure(masks: Tensor) -> Tensor:
        owner = sketcher.owner[sketch]
        parts = [
            sketcher.evaluate(
                keep_strokes(repeated(strokes, len(some)), some),
                owner.expand(len(some)),
            )
            for some in masks.split(chunk)
        ]
        return torch.cat(parts).cpu()

    return measure


def repeated(strokes, count: int):
    """Return one sketch's strokes so many times."""
    return type(strokes)(*(v.expand(count, *v.shape[1:]) for v in strokes))
