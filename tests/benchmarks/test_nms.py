"""The benchmark of NMS, on a small image."""

import pytest

from benchmarks import nms as benchmark


def test_ours_is_exact_at_both_thresholds():
    times = benchmark.measure(images=2, regions=120, names=30)
    assert times.differing == 0
    assert len(times.mmdet) == len(times.ours) == len(times.ours_at_zero) == 2


def test_the_report_names_both_sides_and_their_ratio(capsys):
    times = benchmark.Times([0.5], [0.05], [0.06], 0, 0, [1234])
    assert benchmark.report(times, regions=10, names=20) == 0
    printed = capsys.readouterr().out
    assert '10 regions x 20 names, 1 images, 1234 candidates' in printed
    assert '10.0 times faster' in printed


def test_a_difference_is_seen_and_a_failure(monkeypatch):
    exact = benchmark.per_class
    monkeypatch.setattr(
        benchmark, 'per_class', lambda *args: exact(*args)[:-1]
    )
    times = benchmark.measure(images=1, regions=30, names=5)
    assert times.differing == 1
    assert benchmark.report(times, 30, 5) == 1


@pytest.mark.parametrize('seed', [0, 1])
def test_an_image_has_as_many_scores_as_names_and_background(seed):
    boxes, scores = benchmark.random_image(seed, 40, 7)
    assert boxes.shape == (40, 4)
    assert scores.shape == (40, 8)
    assert (boxes[:, 2:] > boxes[:, :2]).all()
