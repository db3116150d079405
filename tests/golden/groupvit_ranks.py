"""Run GroupViT's losses in several processes, as training does."""

import socket
from functools import partial

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmclip.groupvit.losses import MultiLabelContrastiveLoss


def losses_of_ranks(features: dict, world: int, log_scales: dict):
    """Return both losses that each rank sees, (W, 2)."""
    address = f'tcp://127.0.0.1:{free_port()}'
    # there is no backward pass, so ranks can be forked, which is quicker
    results = mp.get_context('fork').SimpleQueue()
    work = partial(one_rank, features, world, log_scales, address, results)
    mp.start_processes(work, nprocs=world, start_method='fork')
    found = dict(results.get() for _ in range(world))
    return np.array([found[rank] for rank in range(world)])


def one_rank(features, world, log_scales, address, results, rank) -> None:
    """Compute the losses of a rank's rows."""
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=address, world_size=world, rank=rank
    )
    try:
        count = len(features['image']) // world
        rows = slice(rank * count, (rank + 1) * count)
        local = {k: torch.from_numpy(v[rows]) for k, v in features.items()}
        loss = MultiLabelContrastiveLoss()
        texts = dict(logit_scale=local['text'][:, None])
        if 'prompts' in local:
            texts['multi_label_logit_scale'] = local['prompts']
        values = [
            loss(local['image'], text, torch.tensor(float(log_scales[scale])))
            for scale, text in texts.items()
        ]
        results.put((rank, [value.item() for value in values]))
    finally:
        dist.destroy_process_group()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]
