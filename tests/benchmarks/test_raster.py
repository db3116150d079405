"""The benchmark of the rasterisers, on few strokes."""

import pytest

from benchmarks import raster as benchmark


def test_every_backend_is_timed_on_every_scene(capsys):
    found = benchmark.measure(counts=[2, 16], batches=[1, 2], repeats=1)
    assert set(found) == {(1, 2), (1, 16), (2, 2), (2, 16)}
    for times in found.values():
        assert set(times) >= {'torch', 'numba'}
        assert min(times.values()) > 0
    benchmark.report(found)
    printed = capsys.readouterr().out
    assert 'numba: 16 strokes' in printed
    assert 'torch: each further stroke costs' in printed


def test_strokes_are_as_long_as_the_text_says():
    points, width, _ = benchmark.scene(300)
    assert benchmark.lengths(points).mean() == pytest.approx(48, abs=3)
    assert (2 * width == 3).all()


def test_memory_is_that_of_the_strokes_windows_not_of_their_canvases():
    few, many = (benchmark.peak_memory('torch', n, 224) for n in (16, 128))
    dense = (128 - 16) * 224**2 * 4 / 2**20  # one number a pixel and stroke
    assert many - few < dense
