"""Strokes to draw, and tiny CLIPs to look at them with."""

import numpy as np
import pytest
import torch

from tests.clip.conftest import make_clip

BLACK = torch.tensor([0.0, 0.0, 0.0, 1.0])


def covered(points, radius, size, fine=8):
    """Measure coverage (H, W) by brute force: points near a polyline.

    Args:
        points: Cubic segments (S, 4, 2).
        radius: Half width.
        size: (H, W).
        fine: Samples along each side of a pixel.
    """
    t = np.linspace(0, 1, 150)[:, None]
    basis = np.concatenate(
        [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3], 1
    )
    line = np.concatenate([basis @ s for s in np.asarray(points, float)])
    start, chord = line[:-1], np.diff(line, axis=0)
    inside = np.zeros((size[0] * fine, size[1] * fine), bool)
    length = np.maximum((chord**2).sum(1), 1e-12)
    for row in range(inside.shape[0]):
        x = (np.arange(inside.shape[1]) + 0.5) / fine
        y = np.full_like(x, (row + 0.5) / fine)
        away = np.stack([x, y], 1)[:, None] - start  # (X, L, 2)
        share = np.clip((away * chord).sum(2) / length, 0, 1)
        away = away - share[..., None] * chord
        inside[row] = (away**2).sum(2).min(1) <= radius**2
    return inside.reshape(size[0], fine, size[1], fine).mean((1, 3))


@pytest.fixture(scope='session')
def brute_force():
    return covered


@pytest.fixture(scope='session')
def tiny_clip():
    return make_clip


@pytest.fixture(autouse=True, scope='package')
def config_text_as_it_is():
    """Spare the half second that each run lays out its config's text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            'mmengine.config.config.FormatCode',
            lambda text, **_: (text, False),
        )
        yield
