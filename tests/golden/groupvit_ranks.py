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
    results = mp.get_context('spawn').SimpleQueue()
    work = partial(one_rank, features, world, log_scales, address, results)
    mp.spawn(work, nprocs=world)
    found = dict(results.get() for _ in range(world))
    return np.array([found[rank] for rank in range(world)])


def one_rank(features, world, log_scales, address, results, rank) -> None:
    """Compute the losses of a rank's rows."""
    dist.init_process_group(
        'gloo', init_method=address, world_size=world, rank=rank
    )
    try:
        count = len(features['image']) // world
        rows = slice(rank * count, (rank + 1) * count)
        image, text, prompts = (
            torch.from_numpy(features[name][rows])
            for name in ('image', 'text', 'prompts')
        )
        loss = MultiLabelContrastiveLoss()
        scales = [
            torch.tensor(float(log_scales[name]))
            for name in ('logit_scale', 'multi_label_logit_scale')
        ]
        results.put(
            (
                rank,
                [
                    loss(image, text[:, None], scales[0]).item(),
                    loss(image, prompts, scales[1]).item(),
                ],
            )
        )
    finally:
        dist.destroy_process_group()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]
