"""A run that was killed continues as if it had not been."""

import os
import signal
import subprocess
import sys
import time

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.end_to_end.tiny import losses, tiny_config


class Stop(Hook):
    """Cut the run off in the middle of an iteration."""

    def __init__(self, at):
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('whole')
    Runner.from_cfg(tiny_config(work_dir)).train()
    curve = losses(work_dir)
    assert sorted(curve) == list(range(1, 7))
    return curve


@pytest.mark.parametrize('iteration', [3, 4])
def test_the_loss_curve_goes_on_from_any_iteration(whole, iteration, tmp_path):
    runner = Runner.from_cfg(tiny_config(tmp_path))
    runner.register_hook(Stop(iteration), 'LOWEST')
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    wait_for_another_second()
    Runner.from_cfg(tiny_config(tmp_path, resume=True)).train()
    curve = losses(tmp_path)
    assert sorted(curve) == sorted(whole)
    for step, loss in whole.items():
        assert curve[step] == pytest.approx(loss, rel=1e-4), f'step {step}'


def test_without_the_saved_states_the_curve_is_another(whole, tmp_path):
    cfg = tiny_config(tmp_path)
    cfg.custom_hooks = [
        hook for hook in cfg.custom_hooks if 'RNG' not in hook['type']
    ]
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Stop(4), 'LOWEST')
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    wait_for_another_second()
    cfg = tiny_config(tmp_path, resume=True, randomness=dict(seed=1))
    cfg.custom_hooks = [
        hook for hook in cfg.custom_hooks if 'RNG' not in hook['type']
    ]
    Runner.from_cfg(cfg).train()
    curve = losses(tmp_path)
    assert any(abs(curve[i] - whole[i]) > 1e-3 * whole[i] for i in range(5, 7))


@pytest.mark.slow
def test_a_run_killed_from_outside_resumes_on_the_command_line(
    whole, tmp_path
):
    config = tmp_path / 'tiny.py'
    work_dir = tmp_path / 'work'
    tiny_config(work_dir).dump(config)
    command = [sys.executable, '-m', 'mmclip.cli', 'train', str(config)]
    victim = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (work_dir / 'last_checkpoint').exists(), victim)
    finally:
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
    subprocess.run([*command, '--resume'], check=True, timeout=120)
    curve = losses(work_dir)
    assert sorted(curve) == sorted(whole)
    for step, loss in whole.items():
        assert curve[step] == pytest.approx(loss, rel=1e-4), f'step {step}'


def wait_until(happened, process, seconds=90):
    end = time.time() + seconds
    while not happened():
        assert process.poll() is None, 'the run ended by itself'
        assert time.time() < end, 'the run wrote no checkpoint'
        time.sleep(0.05)


def wait_for_another_second():
    """Run folders are named by the second."""
    time.sleep(1.1)
