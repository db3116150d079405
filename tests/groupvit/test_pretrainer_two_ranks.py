"""Two processes with a part of the batch each train as one with the whole."""

import socket
from functools import partial

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from tests.groupvit.tiny import (
    assert_same_gradients,
    images,
    noise,
    pretrainer,
    tokens,
)

COUNT = 6
SPLITS = {'halves': (3, 3), 'unequal': (4, 2)}


def step(model, rows: slice):
    """Return losses, gradients and buffers of a training step."""
    losses = model(
        images(COUNT, dtype=torch.float64)[rows],
        tokens(COUNT)[rows],
        mode='loss',
        noise=[n[rows] for n in noise(COUNT)],
    )
    sum(losses.values()).backward()
    model = getattr(model, 'module', model)
    return (
        {k: v.detach() for k, v in losses.items()},
        {k: p.grad for k, p in model.named_parameters()},
        dict(model.named_buffers()),
    )


def rank(folder, address, rank):
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=address, world_size=2, rank=rank
    )
    for name, split in SPLITS.items():
        start = sum(split[:rank])
        model = DistributedDataParallel(
            pretrainer(chunk_size=2).double().train()
        )
        result = step(model, slice(start, start + split[rank]))
        torch.save(result, f'{folder}/{name}{rank}.pth')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp('ranks')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = f'tcp://127.0.0.1:{free.getsockname()[1]}'
    # forked like a data loader's workers; with a GPU autograd forbids that
    method = 'spawn' if torch.cuda.is_available() else 'fork'
    work = partial(rank, str(folder), address)
    mp.start_processes(work, nprocs=2, start_method=method)
    return {
        name: [torch.load(folder / f'{name}{i}.pth') for i in (0, 1)]
        for name in SPLITS
    }


@pytest.mark.dist
@pytest.mark.parametrize('split', SPLITS)
def test_the_mean_over_ranks_is_the_loss_of_the_whole_batch(results, split):
    losses, gradients, buffers = step(
        pretrainer().double().train(), slice(None)
    )
    (ours, found, followed), (theirs, same, _) = results[split]
    for name, loss in losses.items():
        mean = (ours[name] + theirs[name]) / 2
        torch.testing.assert_close(mean, loss, rtol=1e-9, atol=1e-9)
        assert ours[name] != theirs[name]
    assert_same_gradients(found, gradients)
    assert all(torch.equal(found[name], same[name]) for name in found)
    for name, buffer in buffers.items():
        torch.testing.assert_close(followed[name], buffer, msg=name)
