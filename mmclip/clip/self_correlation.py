"""Let tokens of a ViT attend to those that are like them.

B images, L tokens, C channels, d channels of a head.
"""

import torch.nn.functional as F
from torch import Tensor, nn


def self_correlated(block: nn.Module, tokens: Tensor) -> Tensor:
    """Run a block whose attention is correlative self-attention.

    Queries meet queries and keys meet keys, and both softmaxes are added, so
    that a token reads from its own kind (SCLIP, section 3.2); no weight
    changes.

    Args:
        block: A residual attention block of open_clip.
        tokens: What enters it, (B, L, C).

    Returns:
        What leaves it, (B, L, C).

    Raises:
        ValueError: Its attention keeps queries and keys to itself.
    """
    attention = block.attn
    if not isinstance(attention, nn.MultiheadAttention):
        raise ValueError(
            f'the attention of {type(attention).__name__} cannot be changed '
            "from outside: this tower takes attention='values'"
        )
    entered = block.ln_1(tokens)
    each = F.linear(
        entered, attention.in_proj_weight, attention.in_proj_bias
    ).unflatten(2, (3, attention.num_heads, -1))  # (B, L, 3, heads, d)
    query, key, value = each.permute(2, 0, 3, 1, 4)  # each (B, heads, L, d)
    scale = query.shape[-1] ** -0.5
    weights = sum(
        (scale * one @ one.mT).softmax(dim=-1) for one in (query, key)
    )  # (B, heads, L, L)
    read = (weights @ value).transpose(1, 2).flatten(2)  # (B, L, C)
    tokens = tokens + block.ls_1(attention.out_proj(read))
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
