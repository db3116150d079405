import pytest
import torch

from mmclip.groupvit.attention import (
    AssignAttention,
    CrossAttention,
    group_means,
    gumbel_noise,
    straight_through,
)


def test_a_token_goes_to_its_best_group_alone():
    soft = torch.rand(2, 3, 5).softmax(dim=1)
    hard = straight_through(soft)
    assert torch.equal(hard.sum(dim=1), torch.ones(2, 5))
    assert torch.equal(hard.argmax(dim=1), soft.argmax(dim=1))


def test_the_gradient_of_a_hard_assignment_is_that_of_the_soft_one():
    logits = torch.randn(1, 3, 5, requires_grad=True)
    weight = torch.randn(1, 3, 5)
    soft = logits.softmax(dim=1)
    hard = straight_through(soft)
    assert set(hard.detach().unique().tolist()) == {0.0, 1.0}
    (ours,) = torch.autograd.grad((hard * weight).sum(), logits)
    (expected,) = torch.autograd.grad(
        (logits.softmax(dim=1) * weight).sum(), logits
    )
    torch.testing.assert_close(ours, expected)
    assert ours.abs().max() > 0


def test_an_empty_group_has_no_content_and_others_divide_by_size_plus_one():
    assignment = torch.tensor([[[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]])
    values = torch.tensor([[[2.0], [4.0], [6.0]]])
    means = group_means(assignment, values)
    torch.testing.assert_close(means, torch.tensor([[[3.0], [0.0]]]))


def test_gumbel_noise_draws_groups_by_their_probability():
    torch.manual_seed(0)
    probability = torch.tensor([0.6, 0.3, 0.1])
    logits = probability.log().expand(20000, 3)
    drawn = (logits + gumbel_noise(logits)).argmax(dim=1)
    shares = drawn.bincount(minlength=3) / 20000
    torch.testing.assert_close(shares, probability, atol=0.015, rtol=0)


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    return torch.randn(2, 3, 8), torch.randn(2, 5, 8)


def test_training_adds_noise_and_evaluation_does_not(tokens):
    attention = AssignAttention(8)
    noise = torch.zeros(2, 3, 5)
    noise[:, 1] = 1e4
    _, soft = attention(*tokens, noise)
    assert torch.equal(soft.argmax(dim=1), torch.ones(2, 5).long())
    attention.eval()
    _, quiet = attention(*tokens, noise)
    logits = attention.logits(*tokens)
    torch.testing.assert_close(quiet, logits.softmax(dim=1))


def test_a_low_temperature_sharpens_the_training_alone(tokens):
    sharp = AssignAttention(8, tau=0.01)
    noise = torch.zeros(2, 3, 5)
    _, trained = sharp(*tokens, noise)
    _, evaluated = sharp.eval()(*tokens)
    assert trained.amax(dim=1).min() > evaluated.amax(dim=1).max()


def test_hard_and_soft_assignments_differ_in_what_segments_hold(tokens):
    torch.manual_seed(0)
    hard, soft = AssignAttention(8, 'hard'), AssignAttention(8, 'soft')
    soft.load_state_dict(hard.state_dict())
    merged, shares = hard(*tokens)
    mixed, same = soft(*tokens)
    torch.testing.assert_close(shares, same)
    assert not torch.allclose(merged, mixed)
    values = soft.v_proj(tokens[1])
    torch.testing.assert_close(mixed, soft.proj(group_means(same, values)))


def test_an_unknown_assignment_is_named():
    with pytest.raises(ValueError, match="assign='max'.*gumbel, hard, soft"):
        AssignAttention(8, 'max')


def test_cross_attention_is_torchs_own(tokens):
    ours = CrossAttention(8, num_heads=2)
    torchs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    parts = (ours.q_proj, ours.k_proj, ours.v_proj)
    with torch.no_grad():
        torchs.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        torchs.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        torchs.out_proj.load_state_dict(ours.proj.state_dict())
    query, key = tokens
    torch.testing.assert_close(ours(query, key), torchs(query, key, key)[0])
