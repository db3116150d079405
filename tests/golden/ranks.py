"""Run a function in several processes that know each other."""

import pickle
import socket
from functools import partial

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_ranks(function, args: tuple, world: int) -> list:
    """Return what ``function(*args, rank)`` returns in each process."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = f'tcp://127.0.0.1:{free.getsockname()[1]}'
    # forked like a data loader's workers; with a GPU autograd forbids that
    method = 'spawn' if torch.cuda.is_available() else 'fork'
    results = mp.get_context(method).SimpleQueue()
    work = partial(one_rank, function, args, world, address, results)
    context = mp.start_processes(
        work, nprocs=world, start_method=method, join=False
    )
    found = dict(results.get() for _ in range(world))
    context.join()
    return [pickle.loads(found[rank]) for rank in range(world)]


def one_rank(function, args, world, address, results, rank) -> None:
    """Do the work of a rank."""
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=address, world_size=world, rank=rank
    )
    try:
        # by value: a process that has ended shares no memory
        results.put((rank, pickle.dumps(function(*args, rank))))
    finally:
        dist.destroy_process_group()
