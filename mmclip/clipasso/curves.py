"""Cubic Bezier curves: polynomials, pieces, strokes of other degrees.

Q curves of which each is one segment of a path, L straight pieces.

Convention: coordinates are (x, y) canvas pixels, the origin is the top left
corner and the centre of the first pixel is (0.5, 0.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SAGITTA = 0.2  # pixels a piece's curve may leave its chord
MOST_PIECES = 256


CHORDS = 32  # by which a curve is measured


@dataclass
class Pieces:
    """Hold curves cut into straight pieces.

    Attributes:
        curve: Which curve (L,).
        start: First end points (2, L).
        end: Second end points (2, L).
        t: Parameter of the first end point (L,).
        step: What the second's parameter adds (L,).
        sagitta: Bound on the distance of the curve from the chord (L,).
    """

    curve: Tensor
    start: Tensor
    end: Tensor
    t: Tensor
    step: Tensor
    sagitta: Tensor


def polynomial(points: Tensor) -> Tensor:
    """Return coefficients (4, 2, Q) by power of control points (Q, 4, 2)."""
    p0, p1, p2, p3 = points.permute(1, 2, 0)  # each (2, Q)
    return torch.stack(
        [
            p0,
            3 * (p1 - p0),
            3 * (p0 - 2 * p1 + p2),
            p3 - p0 + 3 * (p1 - p2),
        ]
    )


def position(coefficients: Tensor, t: Tensor) -> Tensor:
    """Return the points (2, n) of curves (4, 2, n) at t (n,)."""
    c0, c1, c2, c3 = coefficients
    return ((c3 * t + c2) * t + c1) * t + c0


def velocity(coefficients: Tensor, t: Tensor) -> Tensor:
    """Return the first derivative by t (2, n)."""
    _, c1, c2, c3 = coefficients
    return (3 * c3 * t + 2 * c2) * t + c1


def acceleration(coefficients: Tensor, t: Tensor) -> Tensor:
    """Return the second derivative by t (2, n)."""
    _, _, c2, c3 = coefficients
    return 6 * c3 * t + 2 * c2


def lengths(points: Tensor) -> Tensor:
    """Return how long strokes (N, S, 4, 2) are in pixels (N,)."""
    t = torch.linspace(0, 1, CHORDS + 1).to(points)
    weight, _ = bernstein(t)  # (t, 4)
    line = torch.einsum('tk,nskc->nstc', weight, points)
    return line.diff(dim=2).norm(dim=3).sum(dim=(1, 2))


def bernstein(t: Tensor) -> tuple[Tensor, Tensor]:
    """Return the four weights of the control points and their slopes by t.

    Returns:
        Two tensors (n, 4).
    """
    u = 1 - t
    weights = torch.stack([u**3, 3 * t * u * u, 3 * t * t * u, t**3], dim=1)
    slopes = torch.stack(
        [
            -3 * u * u,
            3 * u * (u - 2 * t),
            3 * t * (2 * u - t),
            3 * t * t,
        ],
        dim=1,
    )
    return weights, slopes


def cut(points: Tensor, coefficients: Tensor) -> Pieces:
    """Cut curves into as many pieces as their bend asks for.

    Args:
        points: Control points (Q, 4, 2).
        coefficients: The same curves by power (4, 2, Q).
    """
    bend = points[:, :2] - 2 * points[:, 1:3] + points[:, 2:]  # (Q, 2, 2)
    bend = 6 * bend.norm(dim=2).amax(dim=1)  # bounds the acceleration, (Q,)
    count = (bend / (8 * SAGITTA)).sqrt().ceil().clamp(1, MOST_PIECES)
    curve, number = enumerate_groups(count.long())
    step = 1 / count[curve]
    t = number * step
    own = coefficients[:, :, curve]
    return Pieces(
        curve=curve,
        start=position(own, t),
        end=position(own, (t + step).clamp(max=1)),
        t=t,
        step=step,
        sagitta=bend[curve] * step**2 / 8,
    )


def enumerate_groups(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return group and number within the group of every member.

    Args:
        counts: Members of each group, int64 (G,).

    Returns:
        Two int64 tensors (sum of counts,).
    """
    group = torch.repeat_interleave(counts)
    first = counts.cumsum(0) - counts
    number = torch.arange(len(group), device=counts.device)
    return group, number - first[group]


def path_segments(points: Tensor, degrees: Sequence[int]) -> Tensor:
    """Write a path of lines, quadratics and cubics as cubic segments.

    Args:
        points: Control points (1 + sum of degrees, 2); segments share ends.
        degrees: 1, 2 or 3 for each of S segments.

    Returns:
        Cubic segments (S, 4, 2) that draw the same path.

    Raises:
        ValueError: The number of points does not fit the degrees.
    """
    if len(points) != 1 + sum(degrees) or not set(degrees) <= {1, 2, 3}:
        raise ValueError(
            f'a path of segments of degrees {list(degrees)} needs '
            f'{1 + sum(degrees)} points and degrees 1 to 3, got {len(points)} '
            'points'
        )
    segments, first = [], 0
    for degree in degrees:
        segments.append(elevate(points[first : first + degree + 1]))
        first += degree
    return torch.stack(segments)


def elevate(points: Tensor) -> Tensor:
    """Write one curve of degree 1 to 3 (degree + 1, 2) as a cubic (4, 2)."""
    while len(points) < 4:
        degree = len(points)  # that of the result
        share = torch.arange(1, degree, dtype=points.dtype)[:, None] / degree
        share = share.to(points.device)
        inner = share * points[:-1] + (1 - share) * points[1:]
        points = torch.cat([points[:1], inner, points[-1:]])
    return points


def pad_segments(paths: Sequence[Tensor]) -> Tensor:
    """Stack paths of unequal length into strokes (N, S, 4, 2).

    Short ones (S', 4, 2) end in segments that stay at their last point,
    which draw nothing new.
    """
    longest = max(len(path) for path in paths)
    return torch.stack(
        [
            torch.cat([path, path[-1:, -1:].expand(longest - len(path), 4, 2)])
            for path in paths
        ]
    )
