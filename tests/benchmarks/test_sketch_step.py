"""The benchmark of a step, with a small CLIP."""

import pytest
import torch

from benchmarks import sketch_step as benchmark


def test_all_ways_are_timed_and_reported(capsys):
    times = benchmark.measure('shapes-clip', 64, repeats=1)
    assert all(len(times[k]) == 1 for k in ('released', 'same', 'quick'))
    benchmark.report(times, 'shapes-clip')
    printed = capsys.readouterr().out
    assert 'same mathematics' in printed
    assert 'times faster (wanted: 5.0)' in printed


def test_the_same_mathematics_has_the_released_gradient():
    image = benchmark.picture(64)
    released = benchmark.Released('shapes-clip', image)
    ours = benchmark.Ours('shapes-clip', image, quick=False)
    assert ours.loss() == pytest.approx(released.loss(), rel=1e-5)
    torch.manual_seed(5)  # the views
    released.step(1)
    torch.manual_seed(5)
    sum(v.sum() for v in ours.model(mode='loss').values()).backward()
    theirs = released.strokes.points.grad
    mine = ours.model.strokes.points.grad
    assert (mine - theirs).norm() < 1e-3 * theirs.norm()
    weight = next(released.look.encoder.parameters())
    assert weight.grad is not None  # the waste is there
    assert all(p.grad is None for p in ours.model.extractor.parameters())


def test_losses_fall_in_every_way(capsys):
    found = benchmark.final_losses(runs=1, iters=10)
    for name in ('released', 'same', 'quick'):
        assert found[name][0] < found['start'][0]
    benchmark.report_losses(found, 10)
    assert 'of the released 1.000' in capsys.readouterr().out
