"""Ranks whose batches hold different tasks train together."""

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from tests.glip.test_unified_model import (
    LOSSES,
    caption,
    detection,
    unified,
    vqa,
)
from tests.glip.tiny import images
from tests.golden.ranks import run_ranks

BATCHES = [[detection, vqa], [caption, caption]]  # of each rank


def step(model, makes, inputs) -> tuple[dict, dict]:
    """Return the losses and gradients of a training step."""
    losses = model(inputs, [make() for make in makes], mode='loss')
    sum(losses.values()).backward()
    model = getattr(model, 'module', model)
    return (
        {name: loss.item() for name, loss in losses.items()},
        {name: p.grad for name, p in model.named_parameters()},
    )


def rank_step(rank: int) -> tuple[dict, dict]:
    model = DistributedDataParallel(unified().eval())  # eval: no dropout
    return step(model, BATCHES[rank], images(4)[2 * rank : 2 * rank + 2])


@pytest.mark.dist
def test_a_rank_without_boxes_takes_part_and_counts_nothing():
    (first, grads), (second, same) = run_ranks(rank_step, (), 2)
    assert set(first) == set(second) == LOSSES
    assert {name for name, loss in second.items() if loss} == {'loss_caption'}
    assert all(grad is not None for grad in grads.values())
    assert all(torch.equal(grads[name], same[name]) for name in grads)
    whole, _ = step(
        unified().eval(), sum(BATCHES, start=[]), images(4)
    )  # the mean over ranks is the loss of one process
    for name in ('loss_cls', 'loss_bbox', 'loss_centerness', 'loss_contrast'):
        mean = (first[name] + second[name]) / 2
        assert mean == pytest.approx(whole[name], rel=1e-4)
