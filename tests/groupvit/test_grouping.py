import pytest
import torch

from mmclip.groupvit.grouping import GroupingBlock, TokenMixer
from tests.groupvit.tiny import backbone, images


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    return torch.randn(2, 7, 12), torch.randn(2, 4, 12)


def block(**options):
    torch.manual_seed(1)
    made = GroupingBlock(12, 4, 3, num_heads=2, **options)
    torch.nn.init.normal_(made.assign.q_proj.weight)
    return made


def test_four_group_tokens_become_three_segments(tokens):
    segments, soft = block()(*tokens)
    assert segments.shape == (2, 3, 12)
    assert soft.shape == (2, 3, 7)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(2, 7))


def test_a_token_mixer_treats_channels_alike():
    mixer = TokenMixer(4, 5, 3)
    x = torch.randn(2, 4, 6)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(mixer(x)[..., order], mixer(x[..., order]))


def test_the_hard_blocks_gradient_goes_through_the_soft_shares(tokens):
    """The gradient of the assignment's weights, written out by hand."""
    made, seen = block(assign='hard'), []
    made.assign.register_forward_hook(
        lambda module, args, output: seen.append((args, output))
    )
    segments, _ = made(*tokens)
    weight = torch.randn_like(segments)
    (segments * weight).sum().backward()
    (query, key, _), (merged, _) = seen[0]

    leaf = merged.detach().requires_grad_()
    groups = query.detach()
    after = leaf + groups
    after = after + made.mlp_channels(made.norm_new_x(after))
    (on_merged,) = torch.autograd.grad((after * weight).sum(), leaf)
    with torch.no_grad():  # what one more share of a token would change
        assign = made.assign
        logits = assign.logits(query, key)
        soft = logits.softmax(dim=1)
        one_hot = torch.zeros_like(soft).scatter_(
            1, soft.argmax(dim=1, keepdim=True), 1.0
        )
        size = one_hot.sum(dim=2, keepdim=True) + 1
        values = assign.v_proj(key)  # (B, N, C)
        pulled = on_merged @ assign.proj.weight  # (B, G, C)
        mean = one_hot @ values / size
        on_share = (pulled @ values.mT) - (pulled * mean).sum(2, keepdim=True)
        on_share = on_share / size
        on_logit = soft * (on_share - (soft * on_share).sum(1, keepdim=True))
        on_query = on_logit @ assign.k_proj(key) * query.shape[2] ** -0.5
        expected = on_query.flatten(0, 1).T @ query.flatten(0, 1)
    torch.testing.assert_close(
        assign.q_proj.weight.grad, expected, rtol=1e-4, atol=1e-5
    )
    assert expected.abs().max() > 1e-3


def test_every_weight_of_a_training_network_gets_a_gradient():
    model = backbone().train()
    model.encode(images()).pooled.square().sum().backward()
    silent = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    # the softmax over groups does not see what all of them have in common
    assert [n for n in silent if not n.endswith('assign.k_proj.bias')] == []
