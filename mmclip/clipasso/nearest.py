"""Refine the nearest point of a curve, and how it moves with the curve.

n points x, each with one cubic C and a parameter t. v = x - C(t), the offset.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmclip.clipasso.curves import acceleration, position, velocity

TINY = 1e-20


@dataclass
class Nearest:
    """Describe the nearest points of n curves.

    Attributes:
        t: Parameter (n,).
        distance: From x (n,).
        normal: Unit vector from the curve to x (2, n).
        round: Whether x lies beyond an end, at a cusp or at a dot, where the
            normal follows x rather than the tangent (n,).
        bend: Curvature of the line of all points at this distance, per
            pixel; inf at its own cusps (n,).
        offset: v (2, n).
        tangent: C' (2, n).
        turn: Normal part of C'' over the slope of v . C' by t, which says
            how far a moved control point turns the normal (n,).
        slope: ``|C'|^2 - v . C''`` (n,).
    """

    t: Tensor
    distance: Tensor
    normal: Tensor
    round: Tensor
    bend: Tensor
    offset: Tensor
    tangent: Tensor
    turn: Tensor
    slope: Tensor


def refine(
    coefficients: Tensor, at: Tensor, t: Tensor, reach: Tensor, steps: int
) -> Tensor:
    """Take guarded Newton steps towards v . C'(t) = 0.

    Args:
        coefficients: Of each point's curve (4, 2, n).
        at: Points x (2, n).
        t: Starts (n,).
        reach: How far t may move, so that it stays at its branch (n,).
        steps: Number of steps.
    """
    low, high = (t - reach).clamp(min=0), (t + reach).clamp(max=1)
    for _ in range(steps):
        offset = at - position(coefficients, t)
        tangent = velocity(coefficients, t)
        speed = (tangent**2).sum(0)
        slope = speed - (offset * acceleration(coefficients, t)).sum(0)
        slope = torch.maximum(slope, 0.25 * speed).clamp(min=TINY)
        t = t + (offset * tangent).sum(0) / slope
        t = torch.minimum(torch.maximum(t, low), high)
    return t


def describe(coefficients: Tensor, at: Tensor, t: Tensor) -> Nearest:
    """Return distance, normal and bend at parameters that ``refine`` gave."""
    offset = at - position(coefficients, t)
    tangent = velocity(coefficients, t)
    second = acceleration(coefficients, t)
    speed = (tangent**2).sum(0)
    length = speed.clamp(min=TINY).sqrt()
    distance = (offset**2).sum(0).sqrt()
    along = (offset * tangent).sum(0) / length
    is_round = (along.abs() > 1e-3 + 0.02 * distance) | (speed < 1e-6)
    is_round |= ((t <= 0) | (t >= 1)) & (distance > 1e-3)

    perpendicular = torch.stack([-tangent[1], tangent[0]]) / length
    signed = (offset * perpendicular).sum(0)
    perpendicular = torch.where(signed < 0, -perpendicular, perpendicular)
    radial = offset / distance.clamp(min=1e-9)
    radial[0] += distance < 1e-9  # at the centre of a dot, any direction
    slope = speed - (offset * second).sum(0)
    inward = (second * perpendicular).sum(0)
    bend = inward.abs() / slope.clamp(min=TINY)
    return Nearest(
        t=t,
        distance=torch.where(is_round, distance, signed.abs()),
        normal=torch.where(is_round, radial, perpendicular),
        round=is_round,
        bend=torch.where(is_round, 1 / distance.clamp(min=1e-9), bend),
        offset=offset,
        tangent=tangent,
        turn=torch.where(slope > 0.02 * speed, inward / slope, 0),
        slope=slope,
    )


def point_gradient(
    near: Nearest, by_distance: Tensor, by_normal: Tensor
) -> tuple[Tensor, Tensor]:
    """Return how a coverage changes with the curve.

    A control point P_j moves C by B_j and C' by B_j'. On the way of the
    nearest point the distance changes by -B_j N alone, for v is perpendicular
    to the curve; the normal turns with C' and with the parameter. At round
    places the normal follows v.

    Args:
        near: The nearest points.
        by_distance: Derivative of the coverage by the distance (n,).
        by_normal: Derivative by the normal (2, n).

    Returns:
        Two vectors (2, n): the derivative by P_j is the first times B_j(t)
        plus the second times B_j'(t).
    """
    normal, tangent = near.normal, near.tangent
    speed = (tangent**2).sum(0).clamp(min=TINY)
    turned = -(by_normal * tangent).sum(0) / speed
    turned = torch.where(near.round, 0, turned)
    moved = turned * near.turn
    sideways = by_normal - (by_normal * normal).sum(0) * normal
    sideways = sideways / near.distance.clamp(min=1e-3)
    by_point = -by_distance * normal - torch.where(
        near.round, sideways, moved * tangent
    )
    return by_point, turned * normal + moved * near.offset
