"""Two processes with a part of the batch each train as one with the whole."""

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from tests.golden.ranks import run_ranks
from tests.groupvit.tiny import (
    assert_same_gradients,
    images,
    noise,
    pretrainer,
    tokens,
)

COUNT = 6
SPLITS = {
    'halves': ('image', (3, 3)),
    'unequal': ('image', (4, 2)),
    'segments': ('segment', (4, 2)),
}


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


def steps_of(rank: int) -> dict:
    found = {}
    for name, (match, split) in SPLITS.items():
        start = sum(split[:rank])
        model = DistributedDataParallel(
            pretrainer(chunk_size=2, prompt_match=match).double().train()
        )
        found[name] = step(model, slice(start, start + split[rank]))
    return found


@pytest.fixture(scope='module')
def results():
    both = run_ranks(steps_of, (), 2)
    return {name: [one[name] for one in both] for name in SPLITS}


@pytest.mark.dist
@pytest.mark.parametrize('split', SPLITS)
def test_the_mean_over_ranks_is_the_loss_of_the_whole_batch(results, split):
    losses, gradients, buffers = step(
        pretrainer(prompt_match=SPLITS[split][0]).double().train(),
        slice(None),
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
