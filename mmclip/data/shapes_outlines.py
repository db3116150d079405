"""Outlines of the shapes world as tables of signed distances.

Every number comes from ``+ - * /``, ``sqrt`` and comparisons, which IEEE 754
rounds alike everywhere, on tables rounded to nine digits; there is no BLAS
and no trigonometry at draw time, so the tables hold the same bits on every
machine.

Convention: x runs right, y down; outlines live in a frame where the shape's
bounding circle has radius one.

Symbols: G cells of a distance table, V vertices.
"""

import math
from functools import cache

import numpy as np

TURN = 96  # directions in a full turn
DIRECTIONS = tuple(
    (
        round(math.cos(2 * math.pi * k / TURN), 9),
        round(math.sin(2 * math.pi * k / TURN), 9),
    )
    for k in range(TURN)
)
REACH = 1.25  # a distance table covers [-REACH, REACH] squared
CELLS = 129


def mirrored(*right) -> tuple:
    """Return a polygon from its right half, top to bottom."""
    return right + tuple((-x, y) for x, y in right[::-1] if x)


POLYGONS = {
    'square': mirrored((0.78, -0.78), (0.78, 0.78)),
    'triangle': mirrored((0, -0.95), (0.95, 0.75)),
    'cross': mirrored(
        *[(0.32, -0.95), (0.32, -0.32), (0.95, -0.32)],
        *[(0.95, 0.32), (0.32, 0.32), (0.32, 0.95)],
    ),
    'diamond': mirrored((0, -1), (0.7, 0), (0, 1)),
    'arrow': mirrored((0, -1), (0.85, -0.05), (0.34, -0.05), (0.34, 0.95)),
    'hourglass': mirrored((0.75, -0.9), (0.12, 0), (0.75, 0.9)),
    'chevron': mirrored((0, -0.75), (0.95, 0.1), (0.95, 0.8), (0, -0.05)),
    'trapezoid': mirrored((0.42, -0.62), (0.98, 0.62)),
    'bolt': (
        *[(0.45, -0.95), (-0.75, 0.25), (-0.1, 0.25)],
        *[(-0.45, 0.95), (0.75, -0.3), (0.15, -0.3)],
    ),
    'house': mirrored(
        *[(0, -1), (0.95, -0.1), (0.7, -0.1)],
        *[(0.7, 0.85), (0.24, 0.85), (0.24, 0.25)],
    ),
    'star': tuple(
        (round(c * r, 9), round(s * r, 9))
        for r, (c, s) in zip(
            (1, 0.42) * 5,
            (DIRECTIONS[(72 + 96 * k // 10) % TURN] for k in range(10)),
        )
    ),
}


def disc(x: float, y: float, across: float, down: float | None = None):
    """Return the polygon of an ellipse with these half axes."""
    down = across if down is None else down
    return tuple((x + across * c, y + down * s) for c, s in DIRECTIONS[::2])


def outline(shape: str) -> tuple[list, list]:
    """Return the polygons whose union the shape is, and those cut out of it.

    Raises:
        KeyError: The shapes world has no such shape.
    """
    curved = {
        'circle': lambda: ([disc(0, 0, 0.9)], []),
        'oval': lambda: ([disc(0, 0, 1, 0.52)], []),
        'ring': lambda: ([disc(0, 0, 0.95)], [disc(0, 0, 0.5)]),
        'crescent': lambda: ([disc(0, 0, 0.95)], [disc(0.45, -0.1, 0.78)]),
        'semicircle': lambda: (
            [[(c, 0.48 + s) for c, s in DIRECTIONS[48::2]] + [(1, 0.48)]],
            [],
        ),
        'frame': lambda: (
            [POLYGONS['square']],
            [[(0.55 * x, 0.55 * y) for x, y in POLYGONS['square']]],
        ),
        'heart': lambda: (
            [
                disc(-0.43, -0.35, 0.5),
                disc(0.43, -0.35, 0.5),
                (
                    (-0.87, -0.1),
                    (-0.4, -0.45),
                    (0, -0.35),
                    (0.4, -0.45),
                    (0.87, -0.1),
                    (0, 0.95),
                ),
            ],
            [],
        ),
        'flower': lambda: (
            [
                disc(0.58 * c, 0.58 * s, 0.4)
                for c, s in (
                    DIRECTIONS[(72 + k) % TURN] for k in (0, 19, 38, 58, 77)
                )
            ],
            [disc(0, 0, 0.24)],
        ),
        'drop': lambda: (
            [disc(0, 0.38, 0.6), ((0, -1), (0.52, 0.08), (-0.52, 0.08))],
            [],
        ),
        'fish': lambda: (
            [disc(-0.25, 0, 0.75, 0.5), ((0.2, 0), (0.95, -0.6), (0.95, 0.6))],
            [],
        ),
    }
    if shape in curved:
        return curved[shape]()
    return [POLYGONS[shape]], []


def polygon_distance(points, x, y):
    """Return the signed distance to a polygon, negative inside.

    Args:
        points: V corners ``(x, y)`` in order.
        x: Where to measure, an array.
        y: Likewise, of the same shape.
    """
    start = np.array(points, np.float64)
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(start, np.roll(start, -1, 0)):
        ex, ey, px, py = bx - ax, by - ay, x - ax, y - ay
        along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
        dx, dy = px - along * ex, py - along * ey
        nearest = np.minimum(nearest, dx * dx + dy * dy)
        if ay != by:  # even-odd rule on the ray to the right
            crossing = (ay <= y) != (by <= y)
            inside ^= crossing & (px < ex * (py / ey))
    return np.where(inside, -1.0, 1.0) * np.sqrt(nearest)


@cache
def distance_table(shape: str) -> np.ndarray:
    """Return the shape's signed distances as float32 (G, G), row = y."""
    axis = (np.arange(CELLS) / (CELLS - 1) * 2 - 1) * REACH
    x, y = np.broadcast_arrays(axis[None, :], axis[:, None])
    added, cut = outline(shape)
    table = np.full(x.shape, np.inf)
    for points in added:
        table = np.minimum(table, polygon_distance(points, x, y))
    for points in cut:
        table = np.maximum(table, -polygon_distance(points, x, y))
    return table.astype(np.float32)


def look_up(table: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Read a distance table between its cells, bilinearly, at ``(u, v)``."""
    scale = (CELLS - 1) / (2 * REACH)
    top = CELLS - 1.001
    column = np.minimum(np.maximum((u + REACH) * scale, 0), top)
    row = np.minimum(np.maximum((v + REACH) * scale, 0), top)
    i, j = column.astype(np.int32), row.astype(np.int32)
    a, b = column - i, row - j
    flat, at = table.ravel(), j * CELLS + i
    above = flat[at] * (1 - a) + flat[at + 1] * a
    below = flat[at + CELLS] * (1 - a) + flat[at + CELLS + 1] * a
    return above * (1 - b) + below * b
