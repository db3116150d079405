"""Two processes of which one has nothing to distil."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def train(rank, port, results):
    from mmdet.registry import MODELS
    from mmengine.model import MMDistributedDataParallel
    from mmengine.registry import DefaultScope

    from tests.vild.tiny import tiny_batch, tiny_distilling

    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    dist.init_process_group('gloo', rank=rank, world_size=2)
    torch.set_num_threads(1)
    for image_head in ('shared', dict()):
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmdet'):
            built = MODELS.build(tiny_distilling(image_head, norm=True))
        model = MMDistributedDataParallel(built.train())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for _ in range(2):  # the second waits for gradients that never came
            batch = tiny_batch((3, 2) if rank == 0 else (0, None))
            if rank == 1:
                batch = (batch[0][:1], batch[1][:1])
            losses = model(*batch, mode='loss')
            optimizer.zero_grad()
            model.module.parse_losses(losses)[0].backward()
            optimizer.step()
        weights = [p.detach().sum() for p in model.parameters()]
        results.put((rank, str(image_head), torch.stack(weights).tolist()))
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.dist
@pytest.mark.slow
def test_both_go_on_and_stay_alike():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    results = mp.get_context('spawn').SimpleQueue()
    mp.spawn(train, (port, results), nprocs=2)
    found = [results.get() for _ in range(4)]
    for variant in ('{}', 'shared'):
        first, second = (w for _, kind, w in found if kind == variant)
        assert first == pytest.approx(second)
