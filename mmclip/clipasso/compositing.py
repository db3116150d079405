"""Paint cells over each other in the order of the strokes, and back.

n cells, each a pixel of one stroke; colours are premultiplied RGBA.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Layers:
    """Order cells so that each layer meets a pixel once.

    Attributes:
        order: Permutation of the cells, layer by layer (n,).
        sizes: Cells of each layer, the lowest first.
    """

    order: Tensor
    sizes: list[int]


def layers(pixel: Tensor) -> Layers:
    """Sort cells into layers by how many lie below them.

    Args:
        pixel: Pixel of each cell, the lowest stroke's cells first (n,).
    """
    grouped, order = torch.sort(pixel, stable=True)
    place = torch.arange(len(pixel), device=pixel.device)
    new = torch.ones_like(grouped, dtype=torch.bool)
    new[1:] = grouped[1:] != grouped[:-1]
    first = (
        torch.where(new, place, 0).cummax(0).values if len(place) else place
    )
    rank = place - first  # cells below
    order = order[torch.sort(rank, stable=True).indices]
    return Layers(order, torch.bincount(rank).tolist())


def paint(
    layers: Layers, pixel: Tensor, paint: Tensor, alpha: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Lay cells over a transparent canvas.

    Args:
        layers: Of these cells.
        pixel: Pixel of each cell (n,).
        paint: Straight colour and 1 (n, 4).
        alpha: Opacity times coverage (n,).
        size: Pixels P of the canvas.

    Returns:
        The canvas (P, 4) and what lay below each cell, in the layers' order
        (n, 4).
    """
    canvas = paint.new_zeros(size, 4)
    below = paint.new_empty(len(pixel), 4)
    done = 0
    for some in layers.order.split(layers.sizes) if layers.sizes else ():
        share, place = alpha[some, None], pixel[some]
        under = canvas[place]
        below[done : done + len(some)] = under
        canvas[place] = under + share * (paint[some] - under)
        done += len(some)
    return canvas, below


def unpaint(
    layers: Layers,
    pixel: Tensor,
    paint: Tensor,
    alpha: Tensor,
    below: Tensor,
    gradient: Tensor,
) -> tuple[Tensor, Tensor]:
    """Bring the canvas's gradient back to the cells, without a division.

    Args:
        layers: As in ``paint``, and so are the next three.
        pixel: (n,).
        paint: (n, 4).
        alpha: (n,).
        below: What ``paint`` returned (n, 4).
        gradient: Of the canvas (P, 4); it is used up.

    Returns:
        Gradients by alpha (n,) and by the paint (n, 4).
    """
    by_alpha, by_paint = torch.empty_like(alpha), torch.empty_like(paint)
    end = len(pixel)
    parts = layers.order.split(layers.sizes) if layers.sizes else ()
    for some in reversed(parts):
        share, place = alpha[some, None], pixel[some]
        arrived = gradient[place]
        under = below[end - len(some) : end]
        by_alpha[some] = (arrived * (paint[some] - under)).sum(1)
        by_paint[some] = arrived * share
        gradient[place] = arrived * (1 - share)
        end -= len(some)
    return by_alpha, by_paint
