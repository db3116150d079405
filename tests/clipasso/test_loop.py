import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmclip.clipasso.interruptions import Interruptions
from mmclip.clipasso.scene import SketchLoss
from mmclip.clipasso.sketcher import DivergedError
from mmclip.registry import HOOKS, MODELS
from tests.clipasso.sketching import pictures, run_config, sketch

ROOT = Path(__file__).parents[2]


@HOOKS.register_module()
class SignalAt(Hook):
    """Send this process a signal in the midst of a step."""

    def __init__(self, step, number):
        self.step, self.number = step, number

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.step:
            os.kill(os.getpid(), self.number)


@MODELS.register_module()
class LossThatBreaks(SketchLoss):
    """Not a number from some call on."""

    evaluated = False

    def __init__(self, call):
        super().__init__()
        self.left = call

    def measure(self, scene):
        self.left -= 1
        share = 0.0 if self.left > 0 else torch.nan
        return dict(loss_broken=scene.sketch.flatten(1).mean(1) * share)


@MODELS.register_module()
class LossOfInk(SketchLoss):
    """Ink, which needs no CLIP to be known."""

    def measure(self, scene):
        return dict(loss_ink=(1 - scene.sketch).flatten(1).mean(1))


def results(runner):
    return {
        name: (r.loss, r.iteration, r.losses, r.drawing.points)
        for name, r in runner.model.album.items()
    }


def assert_same(found, wanted, exactly=True):
    assert found.keys() == wanted.keys()
    for name, (loss, iteration, losses, points) in wanted.items():
        got = found[name]
        if exactly:
            assert got[:3] == (loss, iteration, losses)
            assert got[3].equal(points)
        else:
            # Adam makes whole steps of what rounding left of a gradient
            assert got[0] == pytest.approx(loss, rel=5e-3)
            torch.testing.assert_close(got[3], points, atol=0.5, rtol=0)


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp('images'), 3)


@pytest.fixture(scope='module')
def whole(tmp_path_factory, images):
    """An undisturbed run of three images in two batches."""
    out = tmp_path_factory.mktemp('whole')
    return results(sketch(out, images, batch_size=2))


def test_sketches_come_nearer_to_their_images(whole, images):
    assert list(whole) == images
    for loss, iteration, losses, points in whole.values():
        assert set(losses) == {0, 1000}
        assert points.shape == (3, 1, 4, 2)
        for curve in losses.values():
            assert [k for k, _ in curve] == [0, 4, 8, 12]
        assert min(v for c in losses.values() for _, v in c) == loss
        assert loss < min(c[0][1] for c in losses.values())
        assert iteration > 0


def test_the_best_is_the_sketch_that_was_evaluated(tmp_path, images):
    runner = sketch(tmp_path, images[:1])
    model = runner.model
    (record,) = model.album.values()
    model.strokes.start([record.drawing] * 2)
    assert model.evaluate()[0].item() == pytest.approx(record.loss, rel=1e-6)


def test_a_sketch_does_not_depend_on_its_company(tmp_path, images, whole):
    alone = results(sketch(tmp_path, [images[2], images[0]]))
    wanted = {name: whole[name] for name in alone}
    assert_same(alone, wanted, exactly=False)


@pytest.mark.parametrize('step', [3, 14])
def test_ctrl_c_saves_and_a_resumed_run_ends_the_same(
    tmp_path, images, whole, step
):
    stop = dict(type='mmclip.SignalAt', step=step, number=signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        sketch(tmp_path, images, batch_size=2, hooks=[stop])
    last = Path((tmp_path / 'last_checkpoint').read_text())
    assert last.name == f'iter_{step + 1}.pth'
    assert last.stat().st_size < 3e5  # no frozen CLIP inside
    resumed = sketch(tmp_path, images, batch_size=2, resume=True)
    assert_same(results(resumed), whole)


@pytest.mark.dist
def test_a_killed_run_resumes_from_its_last_checkpoint(
    tmp_path, images, whole
):
    script = textwrap.dedent(f"""
        import mmclip
        from tests.clipasso import test_loop
        test_loop.sketch({str(tmp_path)!r}, {images!r}, batch_size=2, hooks=[
            dict(type='mmclip.SignalAt', step=17, number=9)])
    """)
    killed = subprocess.run(
        [sys.executable, '-c', script],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_15.pth')
    resumed = sketch(tmp_path, images, batch_size=2, resume=True)
    assert_same(results(resumed), whole)


def test_the_optimiser_starts_anew_with_each_batch(tmp_path, images):
    schedule = dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=6)
    both = dict(param_scheduler=[schedule])
    second = sketch(tmp_path / 'both', images[:2], **both)
    alone = sketch(tmp_path / 'alone', images[1:2], **both)
    wanted = results(alone)
    found = {name: results(second)[name] for name in wanted}
    assert_same(found, wanted)


def test_another_batch_or_image_is_refused_on_resume(tmp_path, images):
    sketch(tmp_path, images[:1])
    with pytest.raises(ValueError, match='same batch_size and num_seeds'):
        sketch(tmp_path, images, batch_size=3, resume=True)
    with pytest.raises(ValueError, match='was sketching p0, here stands p1'):
        sketch(tmp_path, images[1:2], resume=True)


def test_a_loss_that_is_no_number_ends_the_run_with_the_best_named(
    tmp_path, images
):
    losses = [
        dict(type='mmclip.CLIPGeometricLoss', layers=dict(layer1=1.0)),
        dict(type='mmclip.LossThatBreaks', call=7),
    ]
    with pytest.raises(DivergedError, match='loss_broken') as caught:
        sketch(tmp_path, images[:1], model=dict(losses=losses))
    assert 'step 6' in str(caught.value)
    assert 'p0 (loss' in str(caught.value)


def test_a_stopped_run_keeps_what_it_has(tmp_path, images):
    @HOOKS.register_module(force=True)
    class StopAt(Hook):
        def after_train_iter(self, runner, batch_idx, *_, **__):
            runner.train_loop.stop_training = runner.iter == 4

    runner = sketch(tmp_path, images[:2], hooks=[dict(type='mmclip.StopAt')])
    (record,) = runner.model.album.values()
    assert [k for k, _ in record.losses[0]] == [0, 4, 5]


def test_batches_that_end_early_leave_the_next_one_its_steps(tmp_path, images):
    loop = dict(num_iters=9, eval_interval=1, min_delta=1e9)
    runner = sketch(tmp_path, images[:2], loop=loop)
    assert len(runner.model.album) == 2
    for record in runner.model.album.values():
        assert [k for k, _ in record.losses[0]] == [0, 1, 2]
        assert record.iteration == 0
    assert runner.iter == runner.max_iters == 18


def test_own_losses_need_no_more_than_measure(tmp_path, images):
    config = run_config(
        tmp_path,
        images[:1],
        model=dict(
            losses=[
                dict(type='mmclip.LossOfInk'),
                dict(type='mmclip.CLIPSemanticLoss', loss_weight=0.0),
            ],
            optimise=('width',),
        ),
        loop=dict(num_iters=3, eval_interval=1),
    )
    config.optim_wrapper.optimizer.lr = 0.6
    runner = Runner.from_cfg(config)
    runner.train()
    (record,) = runner.model.album.values()
    assert record.loss == pytest.approx(0, abs=1e-6)
    assert record.drawing.width.max() == 0  # 1.5 - 3 * 0.6, but not below 0


def test_a_run_without_a_loss_to_judge_by_is_refused(tmp_path, images):
    losses = [
        dict(type='mmclip.CLIPSemanticLoss'),
        dict(type='mmclip.LossThatBreaks', call=9),
    ]
    runner = Runner.from_cfg(
        run_config(tmp_path, images, model=dict(losses=losses))
    )
    runner.model.losses[0].evaluated = False
    with pytest.raises(ValueError, match='none of the losses is evaluated'):
        runner.train()


def test_numbers_that_make_no_sense_are_refused(tmp_path, images):
    for loop in (dict(num_iters=0), dict(eval_interval=0.5)):
        with pytest.raises(ValueError, match='a whole number from 1'):
            sketch(tmp_path, images, loop=loop)


def test_a_second_ctrl_c_acts_at_once():
    before = signal.getsignal(signal.SIGINT)  # jobs in the background ignore
    with Interruptions() as interruptions:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruptions.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with Interruptions() as interruptions:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(SystemExit):
            interruptions.answer()
    assert signal.getsignal(signal.SIGINT) is before
