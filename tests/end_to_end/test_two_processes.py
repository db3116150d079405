"""The scripts for several processes, on CPU."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from mmclip import jobs
from tests.end_to_end.tiny import losses, tiny_config

TOOLS = Path(jobs.__file__).parent / '.mim' / 'tools'


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_train_and_test_together(tmp_path):
    config, work = tmp_path / 'tiny.py', tmp_path / 'work'
    cfg = tiny_config(work, max_iters=2)
    cfg.env_cfg.dist_cfg.backend = 'gloo'
    cfg.train_cfg.val_interval = 2
    cfg.log_level = 'INFO'
    cfg.dump(config)
    printed = run('dist_train.sh', config, 2)
    assert sorted(losses(work)) == [1, 2]
    assert 'bbox_novel' in printed
    printed = run('dist_test.sh', config, work / 'iter_2.pth', 2)
    assert 'bbox_novel' in printed


def run(script, *arguments) -> str:
    done = subprocess.run(
        ['bash', str(TOOLS / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env=dict(os.environ, PORT=str(free_port()), OMP_NUM_THREADS='1'),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
