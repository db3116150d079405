"""Backgrounds like those of photographs."""

import numpy as np
import pytest

from mmclip.data.shapes_backdrops import (
    LATTICE,
    SURFACES,
    WALLS,
    Noise,
    backdrop,
    blur,
    paint,
    step,
    triangle,
)


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def test_noise_goes_through_its_lattice_and_repeats():
    noise = Noise(generator())
    i, j = np.arange(5, dtype=np.float32), np.full(5, 3, np.float32)
    np.testing.assert_array_equal(noise(i, j), noise.values[3 * LATTICE :][:5])
    np.testing.assert_array_equal(noise(i - LATTICE, j), noise(i, j))


def test_noise_is_smooth():
    u = np.linspace(0, 8, 1601, dtype=np.float32)
    values = Noise(generator())(u, u * 0 + 0.3)
    assert np.abs(np.diff(values)).max() < 2 * 1.5 * (u[1] - u[0]) * 1.01
    assert values.std() > 0.2


def test_waves_and_steps():
    t = np.array([0, 0.25, 0.5, 1, -0.25], np.float32)
    np.testing.assert_allclose(triangle(t), [0, 0.5, 1, 0, 0.5])
    np.testing.assert_allclose(step(t, 0, 0.5), [0, 0.5, 1, 1, 0])


@pytest.mark.parametrize('shape', [(9, 7), (9, 7, 3)])
def test_blur_keeps_what_is_even_and_spreads_a_point(shape):
    even = np.full(shape, 3, np.float32)
    np.testing.assert_array_equal(blur(even, 2), even)
    point = np.zeros(shape, np.float32)
    point[4, 3] = 9
    spread = blur(point, 1)
    np.testing.assert_allclose(spread.sum((0, 1)), 9, rtol=1e-6)
    assert (spread[2:7, 1:6] > 0).all()
    assert spread[4, 3].max() < 2


@pytest.mark.parametrize('material', WALLS + SURFACES)
def test_a_material_has_light_and_dark_parts(material):
    y, x = np.mgrid[:64, :64].astype(np.float32) / 16
    colours = paint(material, Noise(generator(1)), x, y)
    assert colours.shape == (64, 64, 3)
    assert colours.dtype == np.float32  # on every version of numpy
    assert colours.std() > 8


def test_backdrops_are_cluttered_and_uneven():
    horizons = []
    for seed in range(24):
        found = backdrop(generator(seed), 64)
        assert found.image.dtype == np.float32
        assert found.image.std() > 10
        edges = np.abs(np.diff(found.image, axis=1))
        assert np.percentile(edges, 99) > 8 * np.percentile(edges, 25)
        assert found.light[1] > 0  # light comes from above
        horizons.append(found.horizon)
    assert min(horizons) == 0 < max(horizons)  # both kinds of view
