import pytest
import torch

from mmclip.clipasso.curves import (
    bernstein,
    cut,
    elevate,
    pad_segments,
    path_segments,
    polynomial,
    position,
    velocity,
)


def cubics(count=3, **kind):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 4, 2, generator=generator, **kind) * 90


def test_weights_and_powers_draw_the_same_curve():
    points = cubics(1, dtype=torch.float64)
    t = torch.linspace(0, 1, 7, dtype=torch.float64)
    own = polynomial(points).expand(4, 2, 7)
    weights, slopes = bernstein(t)
    torch.testing.assert_close(position(own, t).t(), weights @ points[0])
    torch.testing.assert_close(velocity(own, t).t(), slopes @ points[0])


def test_pieces_follow_on_each_other_and_reach_both_ends():
    points = cubics()
    pieces = cut(points, polynomial(points))
    for k in range(3):
        own = pieces.curve == k
        start, end = pieces.start[:, own], pieces.end[:, own]
        torch.testing.assert_close(start[:, 1:], end[:, :-1])
        torch.testing.assert_close(start[:, 0], points[k, 0])
        torch.testing.assert_close(end[:, -1], points[k, 3])


def test_a_line_is_one_piece():
    points = elevate(torch.tensor([[0.0, 0], [300, 90]]))[None]
    assert len(cut(points, polynomial(points)).curve) == 1


def test_a_quadratic_becomes_the_same_cubic():
    quadratic = torch.tensor([[0.0, 0], [6, 9], [12, 0]])
    cubic = elevate(quadratic)
    weights, _ = bernstein(torch.tensor([0.25]))
    middle = (
        0.5625 * quadratic[0] + 0.375 * quadratic[1] + 0.0625 * quadratic[2]
    )
    torch.testing.assert_close((weights @ cubic)[0], middle)


def test_a_path_needs_as_many_points_as_its_degrees_say():
    with pytest.raises(ValueError, match='needs 6 points'):
        path_segments(torch.zeros(5, 2), [3, 2])


def test_short_paths_wait_at_their_end():
    long = cubics(3)
    padded = pad_segments([long, long[:1]])
    assert padded.shape == (2, 3, 4, 2)
    assert padded[1, 1:].eq(long[0, 3]).all()
