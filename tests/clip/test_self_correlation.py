import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmclip.clip.self_correlation import self_correlated


def block_of(clip):
    return clip.visual.transformer.resblocks[-1]


@pytest.mark.parametrize('batch', [1, 2])
@torch.no_grad()
def test_it_is_the_formula_head_by_head(tiny_clip, batch):
    block, tokens = block_of(tiny_clip()), torch.randn(batch, 5, 48)
    entered = block.ln_1(tokens)
    weight = block.attn.in_proj_weight.chunk(3)
    bias = block.attn.in_proj_bias.chunk(3)
    query, key, value = (F.linear(entered, w, b) for w, b in zip(weight, bias))
    heads = []
    for k in range(block.attn.num_heads):
        q, k_, v = (x[..., 16 * k : 16 * k + 16] for x in (query, key, value))
        each = [(x @ x.mT / 4).softmax(dim=-1) for x in (q, k_)]
        heads.append((each[0] + each[1]) @ v)
    out = tokens + block.attn.out_proj(torch.cat(heads, dim=-1))
    wanted = out + block.mlp(block.ln_2(out))
    torch.testing.assert_close(self_correlated(block, tokens), wanted)


@torch.no_grad()
def test_the_order_of_tokens_does_not_matter(tiny_clip):
    block, tokens = block_of(tiny_clip()), torch.randn(1, 6, 48)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    torch.testing.assert_close(
        self_correlated(block, tokens[:, order]),
        self_correlated(block, tokens)[:, order],
    )


@torch.no_grad()
def test_one_token_reads_its_own_value_twice(tiny_clip):
    block, tokens = block_of(tiny_clip()), torch.randn(1, 1, 48)
    value = F.linear(
        block.ln_1(tokens),
        block.attn.in_proj_weight[96:],
        block.attn.in_proj_bias[96:],
    )
    out = tokens + block.attn.out_proj(2 * value)
    wanted = out + block.mlp(block.ln_2(out))
    torch.testing.assert_close(self_correlated(block, tokens), wanted)


def test_other_attentions_are_refused(tiny_clip):
    block = block_of(tiny_clip())
    block.attn = nn.Identity()
    with pytest.raises(ValueError, match="takes attention='values'"):
        self_correlated(block, torch.randn(1, 2, 48))
