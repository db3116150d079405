"""A run over a stream that was cut off gets the pairs it had not got."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mmclip.data.pair_hook import Resumed
from tests.data.pairs import pair, shards, write_tar


@MODELS.register_module()
class NotesPairs(BaseModel):
    """Write the numbers of each batch into a file."""

    def __init__(self, file, pause=0.0):
        super().__init__()
        self.file, self.pause = file, pause
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, img, stream, mode, **_):
        time.sleep(self.pause)
        numbers = [int(image[0, 0, 0]) for image in img]
        with open(self.file, 'a') as file:
            print(json.dumps(numbers), file=file)
        return dict(loss=self.weight.sum())


class Stop(Hook):
    def __init__(self, at):
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            raise KeyboardInterrupt


def config(tmp_path, data, *, workers=0, iters=12, resume=False, pause=0.0):
    return Config(
        dict(
            default_scope='mmengine',
            work_dir=str(tmp_path / 'work'),
            experiment_name=f'{tmp_path.name}-{time.time_ns()}',
            model=dict(
                type='NotesPairs', file=str(tmp_path / 'notes'), pause=pause
            ),
            train_dataloader=dict(
                batch_size=4,
                num_workers=workers,
                persistent_workers=workers > 0,
                sampler=None,
                dataset=dict(
                    type='mmclip.ImageTextStream',
                    data=data,
                    shuffle=7,
                    pipeline=[],
                ),
            ),
            train_cfg=dict(
                type='mmengine.IterBasedTrainLoop', max_iters=iters
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(
                checkpoint=dict(
                    type='mmengine.CheckpointHook', by_epoch=False, interval=3
                ),
                logger=dict(type='mmengine.LoggerHook', interval=5),
            ),
            custom_hooks=[
                dict(type='mmclip.PairStreamHook'),
                dict(type='mmclip.RNGStateHook'),
            ],
            log_processor=dict(by_epoch=False),
            resume=resume,
        )
    )


def batches(tmp_path):
    return [json.loads(line) for line in (tmp_path / 'notes').open()]


def log(tmp_path):
    files = (tmp_path / 'work').rglob('*.log')
    return ''.join(path.read_text() for path in files)


def data(tmp_path):
    (tmp_path / 'data').mkdir()
    write_tar(tmp_path / 'data' / 'x.tar', [*pair(90, ''), *pair(91)])
    return shards(tmp_path / 'data', 3, 8)


@pytest.mark.parametrize('workers', [0, 2])
def test_a_resumed_run_gets_the_batches_that_were_left(tmp_path, workers):
    where = data(tmp_path)
    whole, part = tmp_path / 'whole', tmp_path / 'part'
    whole.mkdir(), part.mkdir()
    Runner.from_cfg(config(whole, where, workers=workers)).train()
    expected = batches(whole)
    assert len(expected) == 12
    runner = Runner.from_cfg(config(part, where, workers=workers))
    runner.register_hook(Stop(8), 'LOWEST')
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert batches(part) == expected[:8]
    (part / 'notes').unlink()
    time.sleep(1.1)  # mmengine names log files by the second
    Runner.from_cfg(config(part, where, workers=workers, resume=True)).train()
    assert batches(part) == expected[6:]  # the checkpoint is of 6


def test_passes_and_what_was_left_out_are_logged(tmp_path):
    Runner.from_cfg(config(tmp_path, data(tmp_path), iters=14)).train()
    said = log(tmp_path)
    assert 'pass 1 ended: 28 pairs, left out: 1 empty caption' in said
    assert 'pairs in all: 56 pairs, left out: 2 empty caption' in said


def test_other_workers_begin_the_next_pass(tmp_path):
    where = data(tmp_path)
    Runner.from_cfg(config(tmp_path, where, iters=3)).train()
    time.sleep(1.1)
    Runner.from_cfg(
        config(tmp_path, where, iters=16, workers=2, resume=True)
    ).train()
    assert 'pass 2 begins' in log(tmp_path)
    after = sum(batches(tmp_path)[3:], [])
    assert set(after) == {*range(24), 91}


@pytest.mark.slow
def test_a_killed_run_loses_and_repeats_no_pair(tmp_path):
    where = data(tmp_path)
    whole, part = tmp_path / 'whole', tmp_path / 'part'
    whole.mkdir(), part.mkdir()
    Runner.from_cfg(config(whole, where, workers=2)).train()
    script = (
        'import sys, tests.data.test_pair_hook as t\n'
        'from pathlib import Path\n'
        'from mmengine.runner import Runner\n'
        'where = Path(sys.argv[1])\n'
        'cfg = t.config(where, sys.argv[2], workers=2, pause=0.3)\n'
        'Runner.from_cfg(cfg).train()\n'
    )
    victim = subprocess.Popen(
        [sys.executable, '-c', script, str(part), where],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(1200):
            if (part / 'work' / 'iter_6.pth').exists():
                break
            assert victim.poll() is None
            time.sleep(0.1)
        time.sleep(0.4)
    finally:
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
    done = len(batches(part))
    assert 6 <= done < 12
    (part / 'notes').unlink()
    Runner.from_cfg(config(part, where, workers=2, resume=True)).train()
    seen, expected = batches(part), batches(whole)
    assert seen == expected[12 - len(seen) :]
    assert 12 - len(seen) in (6, 9)  # from a checkpoint on


def test_a_resumed_loader_fetches_nothing_while_it_skips():
    class Loader:
        def __iter__(self):
            fetched.append(1)
            return iter('ab')

    fetched = []
    resumed = Resumed(Loader(), skip=2)
    assert [next(resumed), next(resumed), fetched] == [None, None, []]
    assert [next(resumed), next(resumed)] == ['a', 'b']
