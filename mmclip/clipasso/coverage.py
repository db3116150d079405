"""How much of a square cell a straight band covers, and its derivatives.

n cells. A band of half width r runs at distance d from a cell's centre; its
unit normal decides how an edge cuts the cell. F(s) is the area of the unit
square that lies within a half plane whose edge is s away from the centre.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST = 1e-12


@dataclass
class Coverage:
    """Hold the covered share of n cells and what it changes with.

    Attributes:
        area: Share of the cell in [0, 1] (n,).
        by_distance: Derivative by d, per pixel (n,).
        by_radius: Derivative by r, per pixel (n,).
        by_normal: Derivative by the normal, free of its length (2, n).
    """

    area: Tensor
    by_distance: Tensor
    by_radius: Tensor
    by_normal: Tensor


def half_plane(s: Tensor, long: Tensor, short: Tensor) -> tuple[Tensor, ...]:
    """Return the area F(s) of a half plane in the unit square, exactly.

    Beyond the corners F is 0 or 1, between the inner ones it is linear, and
    quadratic on the way; written without branches.

    Args:
        s: Signed distance of the edge from the centre (n,).
        long: Larger absolute component of the unit normal (n,).
        short: Smaller one (n,).

    Returns:
        F and its derivatives by s, long and short; each (n,).
    """
    short = short.clamp(min=SMALLEST)
    away = s.abs()
    corner = torch.minimum(
        (0.5 * (long + short) - away).clamp(min=0), short
    )  # how far the edge is inside the outer corner
    inner = (0.5 * (long - short) - away).clamp(min=0)
    slope = corner / (long * short)
    tail = 0.5 * corner * slope + inner / long
    by_long = 0.5 * slope * (1 - corner / long) - inner / long**2
    by_short = 0.5 * slope * (1 - corner / short)
    sign = torch.where(s < 0, 1.0, -1.0).to(s.dtype)
    area = torch.where(s < 0, tail, 1 - tail)
    return area, slope, sign * by_long, sign * by_short


def band(
    distance: Tensor, radius: Tensor, normal: Tensor, side: float = 1.0
) -> Coverage:
    """Return what a band covers of cells of the given side.

    Args:
        distance: Of the centre line from the cell's centre, >= 0 (n,).
        radius: Half width of the band (n,).
        normal: Unit normals (2, n).
        side: Of the cell, in the unit of the distances.
    """
    wide, high = normal.abs()
    across = wide >= high
    long, short = torch.maximum(wide, high), torch.minimum(wide, high)
    near = half_plane((radius - distance) / side, long, short)
    area, by_near, by_long, by_short = near
    by_far = torch.zeros_like(by_near)
    if bool((radius < 0.7072 * side).any()):  # both edges may cut one cell
        far = half_plane((-radius - distance) / side, long, short)
        area = area - far[0]
        by_far = far[1]
        by_long, by_short = by_long - far[2], by_short - far[3]
    by_normal = torch.stack(
        [
            torch.where(across, by_long, by_short),
            torch.where(across, by_short, by_long),
        ]
    )
    return Coverage(
        area=area,
        by_distance=(by_far - by_near) / side,
        by_radius=(by_near + by_far) / side,
        by_normal=by_normal * normal.sign(),
    )
