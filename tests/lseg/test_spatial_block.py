import pytest
import torch

from mmclip.lseg.spatial_block import ACTIVATIONS, KINDS, SpatialBlock

ALL = [(k, d, a) for k in KINDS for d in (1, 3) for a in ACTIVATIONS]


@pytest.fixture
def scores():
    torch.manual_seed(0)
    return torch.randn(2, 7, 5, 6)


@pytest.mark.parametrize(('kind', 'depth', 'activation'), ALL)
def test_permuting_the_names_permutes_the_scores(
    scores, kind, depth, activation
):
    block, order = SpatialBlock(kind, depth, activation), torch.randperm(7)
    torch.testing.assert_close(
        block(scores[:, order]), block(scores)[:, order], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(('kind', 'depth', 'activation'), ALL)
def test_names_in_parts_give_what_all_at_once_give(
    scores, kind, depth, activation
):
    block = SpatialBlock(kind, depth, activation)
    parts = scores.split(3, dim=1)
    largest = block.largest(lambda: parts)
    joined = torch.cat([block(part, largest) for part in parts], dim=1)
    torch.testing.assert_close(joined, block(scores), rtol=0, atol=1e-6)


def test_a_bottleneck_adds_the_best_score_of_each_position(scores):
    block = SpatialBlock('bottleneck', 1)
    with torch.no_grad():
        block.conv.weight.zero_()
        block.conv.bias.zero_()
    best = scores.max(dim=1, keepdim=True).values
    torch.testing.assert_close(block(scores), best.expand_as(scores))


def test_a_depthwise_block_does_not_mix_names(scores):
    block = SpatialBlock('depthwise', 2)
    alone = torch.cat([block(scores[:, k : k + 1]) for k in range(7)], dim=1)
    torch.testing.assert_close(block(scores), alone)


def test_one_name_is_enough(scores):
    assert SpatialBlock('bottleneck', 2)(scores[:, :1]).shape == (2, 1, 5, 6)


@pytest.mark.parametrize(
    'wrong', [dict(kind='dense'), dict(depth=0), dict(activation='gelu')]
)
def test_anything_else_is_refused(wrong):
    with pytest.raises(ValueError, match='spatial_block'):
        SpatialBlock(**wrong)
