"""The benchmark of GroupViT, with a small network."""

import pytest
import torch

from benchmarks import groupvit as benchmark


@pytest.mark.parametrize('names', [20, 59, 171])
@pytest.mark.parametrize('batch', [1, 2])
def test_the_published_order_gives_our_labels(batch, names):
    (case,) = benchmark.segment_cases(batch, small=True, names=(names,))
    theirs, ours = case.theirs(), case.ours()
    assert theirs.shape == (batch, 448, 448)
    assert (theirs == ours).all()
    assert len(theirs.unique()) > 1
    assert case.differ(theirs, ours) == 0
    assert case.differ(theirs, ours + 1) == 1


def test_the_published_order_runs_the_encoder_twice_a_window():
    model = benchmark.our_model(small=True)
    case = benchmark.segment_case(model, benchmark.some_images(1, 448), 20)
    runs = []
    model.img_encoder.norm.register_forward_hook(lambda *_: runs.append(1))
    case.theirs()
    assert len(runs) == 2
    case.ours()
    assert len(runs) == 3


def test_both_sides_are_timed_and_reported(capsys):
    ticks = torch.zeros(3)
    case = benchmark.Case(
        'twenty names', lambda: ticks, lambda: ticks + 1, benchmark.largest_gap
    )
    times = benchmark.measure(case, rounds=2)
    assert len(times.ours) == len(times.theirs) == 2
    assert benchmark.report('segment', case, times, [3.0, 2.0]) == 1
    printed = capsys.readouterr().out
    assert 'peaks 3 and 2 MB' in printed
    times.difference = 0.0
    assert benchmark.report('segment', case, times, None) == 0


def test_the_ratio_is_of_turns():
    times = benchmark.Times(theirs=[4.0, 10.0, 2.0], ours=[2.0, 10.0, 6.0])
    assert times.ratio == 1


@pytest.mark.slow
def test_a_peak_is_of_a_process_of_its_own():
    assert benchmark.peak('segment', 0, 'ours', 1, True) > 5


def test_transformers_computes_the_same():
    pytest.importorskip('transformers')
    for case in benchmark.forward_cases(2, small=True):
        gap = case.differ(case.theirs(), case.ours())
        assert gap <= benchmark.TOLERANCE
    (case,) = benchmark.step_cases(2, small=True)
    assert case.differ(None, None) <= benchmark.TOLERANCE
    case.theirs()
    case.ours()
