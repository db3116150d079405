import math

import numpy as np
import pytest
import torch

from mmclip.clipasso.coverage import band, half_plane


def brute(s, angle, fine=400):
    x = (np.arange(fine) + 0.5) / fine - 0.5
    along = x[:, None] * math.cos(angle) + x * math.sin(angle)
    return float((along <= s).mean())


@pytest.mark.parametrize('angle', [0, 0.2, math.pi / 4, 1.0, math.pi / 2])
@pytest.mark.parametrize('s', [-0.8, -0.6, -0.3, 0, 0.1, 0.45, 0.65])
def test_a_half_plane_cuts_a_square_as_counted(angle, s):
    parts = sorted([abs(math.cos(angle)), abs(math.sin(angle))])
    area = half_plane(
        torch.tensor([s]), torch.tensor(parts[1:]), torch.tensor(parts[:1])
    )[0]
    assert float(area) == pytest.approx(brute(s, angle), abs=3e-3)


@pytest.mark.parametrize('side', [1.0, 0.25])
def test_derivatives_are_those_of_the_area(side):
    generator = torch.Generator().manual_seed(0)
    distance = torch.rand(200, generator=generator, dtype=torch.float64) * 1.5
    radius = torch.rand(200, generator=generator, dtype=torch.float64)
    angle = torch.rand(200, generator=generator, dtype=torch.float64) * 6
    normal = torch.stack([angle.cos(), angle.sin()])
    found = band(distance, radius, normal, side)
    step = 1e-6
    up = torch.tensor([[step], [0]], dtype=torch.float64)

    def slope(*changes):
        high, low = (
            band(
                distance + sign * changes[0],
                radius + sign * changes[1],
                normal + sign * changes[2],
                side,
            ).area
            for sign in (1, -1)
        )
        return (high - low) / (2 * step)

    for ours, theirs in (
        (found.by_distance, slope(step, 0, 0)),
        (found.by_radius, slope(0, step, 0)),
        (found.by_normal[0], slope(0, 0, up)),
        (found.by_normal[1], slope(0, 0, up.flip(0))),
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
