"""Two ranks that were cut off get the pairs that each had not got."""

import json
import socket
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.runner import Runner

from tests.data.pairs import shards
from tests.data.test_pair_hook import Stop, config


def run(folder: Path, data: str, rank: int, stop=None, resume=False):
    """Train in a folder, each rank with notes of its own."""
    cfg = config(folder, data, iters=10, resume=resume)
    cfg.model.file = str(folder / f'notes{rank}')
    runner = Runner.from_cfg(cfg)
    if stop is None:
        runner.train()
        return
    runner.register_hook(Stop(stop), 'LOWEST')
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    time.sleep(1.1)  # mmengine names log files by the second


def rank(index, folder, data, address):
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=address, world_size=2, rank=index
    )
    folder = Path(folder)
    run(folder / 'whole', data, index)
    run(folder / 'part', data, index, stop=7)
    dist.barrier()
    (folder / 'part' / f'notes{index}').unlink()
    run(folder / 'part', data, index, resume=True)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.dist
@pytest.mark.slow
def test_each_rank_goes_on_with_its_own_pairs(tmp_path):
    for name in ('whole', 'part', 'data'):
        (tmp_path / name).mkdir()
    data = shards(tmp_path / 'data', 4, 7)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = f'tcp://127.0.0.1:{free.getsockname()[1]}'
    mp.spawn(rank, (str(tmp_path), data, address), nprocs=2)
    firsts = []
    for index in range(2):
        whole, part = (
            [
                json.loads(line)
                for line in (tmp_path / name / f'notes{index}').open()
            ]
            for name in ('whole', 'part')
        )
        assert len(whole) == 10
        assert part == whole[6:]  # the checkpoint is of 6
        firsts.append(sum(whole, [])[:14])  # a pass of two shards
    assert sorted(sum(firsts, [])) == list(range(28))
