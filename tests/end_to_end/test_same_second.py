"""Two runs of one second, in one process: each keeps its own losses."""

import pytest
from mmengine.runner import Runner

from tests.end_to_end.tiny import losses, tiny_config


@pytest.fixture
def one_second(monkeypatch):
    """Start all runs in the same second."""
    set_up = Runner.setup_env

    def then(runner, *args):
        set_up(runner, *args)
        runner._timestamp = '20260101_000000'

    monkeypatch.setattr(Runner, 'setup_env', then)


@pytest.mark.parametrize('turn', ['first', 'second'])
def test_the_losses_of_a_run_lie_in_its_own_folder(turn, tmp_path, one_second):
    Runner.from_cfg(tiny_config(tmp_path, max_iters=2)).train()
    assert sorted(losses(tmp_path)) == [1, 2]
