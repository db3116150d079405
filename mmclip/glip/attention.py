"""Attention between image positions and words, in three ways of computing it.

B images, N positions, L words, C and W their widths, H heads of width d.
Masks are bool (B, L), true for words.

The scores of a head are (v Wq + bq) k' / sqrt(d). Words are few, so
``folded_both_ways`` multiplies Wq into k and the output projection into the
words' values, and pools v before it projects it to values: positions are
never projected, the scores are computed once, and only a block of them is
in memory. With N much larger than L that is half of the multiplications.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASKED = -9e15  # added to the scores of padding, as published
LIMIT = 50000  # scores are clamped to +-LIMIT in the published code
BLOCK = 1 << 20  # scores that are in memory at a time


def heads_of(x: Tensor, heads: int) -> Tensor:
    """Split the last dimension into heads: (B, N, E) to (B, H, N, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Undo :func:`heads_of`."""
    return x.transpose(1, 2).flatten(2)


def added_mask(masks: Tensor, dtype: torch.dtype) -> Tensor:
    """Return zeros for words and a very low number for padding."""
    low = max(MASKED, torch.finfo(dtype).min)
    return torch.zeros(
        masks.shape, dtype=dtype, device=masks.device
    ).masked_fill(~masks, low)


def eager_both_ways(
    query: Tensor,
    key: Tensor,
    vision_values: Tensor,
    word_values: Tensor,
    masks: Tensor,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """Compute the published steps one by one, clamps included.

    Args:
        query: Of positions (B, H, N, d).
        key: Of words (B, H, L, d).
        vision_values: (B, H, N, d).
        word_values: (B, H, L, d).
        masks: (B, L).
        dropout: Of the weights.

    Returns:
        What words read (B, L, E), and what positions read (B, N, E).
    """
    query = query * query.shape[-1] ** -0.5
    scores = (query @ key.transpose(2, 3)).clamp(-LIMIT, LIMIT)
    turned = scores.transpose(2, 3)  # (B, H, L, N)
    turned = turned - turned.amax(dim=-1, keepdim=True)
    by_word = turned.clamp(-LIMIT, LIMIT).softmax(dim=-1)
    masked = scores + added_mask(masks, scores.dtype)[:, None, None]
    by_position = masked.softmax(dim=-1)  # (B, H, N, L)
    if dropout:
        by_word = F.dropout(by_word, dropout)
        by_position = F.dropout(by_position, dropout)
    return (
        merge_heads(by_word @ vision_values),
        merge_heads(by_position @ word_values),
    )


def sdpa_both_ways(
    query: Tensor,
    key: Tensor,
    vision_values: Tensor,
    word_values: Tensor,
    masks: Tensor,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """Compute the same by torch's fused attention, once a direction."""
    seen = None  # without padding every kernel can be used
    if not masks.all():
        seen = added_mask(masks, query.dtype)[:, None, None]
    attend = F.scaled_dot_product_attention
    by_word = attend(key, query, vision_values, dropout_p=dropout)
    by_position = attend(
        query, key, word_values, attn_mask=seen, dropout_p=dropout
    )
    return merge_heads(by_word), merge_heads(by_position)


def folded_both_ways(
    attn: nn.Module, vision: Tensor, words: Tensor, masks: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute both directions without projecting a position.

    Args:
        attn: A :class:`mmclip.glip.fusion.BiMultiHeadAttention`.
        vision: Normalised positions (B, N, C).
        words: Normalised words (B, L, W).
        masks: (B, L).

    Returns:
        What is to be added to positions (B, N, C) and words (B, L, W).
    """
    with torch.autocast(vision.device.type, enabled=False):
        found = [folded_image(attn, *one) for one in zip(vision, words, masks)]
    to_vision, to_words = (torch.stack(part) for part in zip(*found))
    return to_vision, to_words


def folded_image(
    attn: nn.Module, vision: Tensor, words: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Do the same for one image: vision (N, C), words (L, W), mask (L,)."""
    heads, length = attn.num_heads, len(words)
    key = attn.l_proj(words).unflatten(1, (heads, -1))  # (L, H, d)
    key = key * key.shape[-1] ** -0.5
    read, bias = fold_keys(attn.v_proj, key)  # (C, H * L), (H * L,)
    written = fold_values(attn, words)  # (H * L, C)
    hidden = added_mask(mask, vision.dtype)  # (L,)
    pool = StreamedSoftmax(heads * length, vision)
    delta = torch.empty_like(vision)
    for rows in torch.arange(len(vision), device=vision.device).split(
        max(1, BLOCK // (heads * length))
    ):
        start, stop = int(rows[0]), int(rows[-1]) + 1
        block = vision[start:stop]  # (n, C)
        scores = torch.addmm(bias, block, read)  # (n, H * L)
        pool.add(scores, block)
        weights = scores.unflatten(1, (heads, length))
        if not mask.all():
            weights = weights + hidden
        weights = weights.softmax(dim=-1).flatten(1)
        delta[start:stop] = torch.addmm(attn.out_v_proj.bias, weights, written)
    pooled = pool.result().unflatten(0, (heads, length))  # (H, L, C)
    return delta, unfold_words(attn, pooled)


def fold_keys(v_proj: nn.Linear, key: Tensor) -> tuple[Tensor, Tensor]:
    """Multiply the projection of positions into the keys (L, H, d)."""
    heads = key.shape[1]
    weight = v_proj.weight.unflatten(0, (heads, -1))  # (H, d, C)
    read = torch.einsum('hdc,lhd->chl', weight, key).flatten(1)
    bias = torch.einsum(
        'hd,lhd->hl', v_proj.bias.unflatten(0, (heads, -1)), key
    )
    return read, bias.flatten()


def fold_values(attn: nn.Module, words: Tensor) -> Tensor:
    """Multiply the output projection into the words' values (H * L, C)."""
    values = attn.values_l_proj(words).unflatten(1, (attn.num_heads, -1))
    weight = attn.out_v_proj.weight.unflatten(1, (attn.num_heads, -1))
    return torch.einsum('lhd,chd->hlc', values, weight).flatten(0, 1)


def unfold_words(attn: nn.Module, pooled: Tensor) -> Tensor:
    """Project pooled positions (H, L, C) to values, then out: (L, W)."""
    weight = attn.values_v_proj.weight.unflatten(0, (attn.num_heads, -1))
    values = torch.einsum('hlc,hdc->lhd', pooled, weight).flatten(1)
    # the weights of a word add up to one, so the bias comes through as it is
    return attn.out_l_proj(values + attn.values_v_proj.bias)


class StreamedSoftmax:
    """Average rows by a softmax over rows that come block by block.

    Args:
        columns: How many averages there are, M.
        like: A tensor (N, C) that says width, device and type.
    """

    def __init__(self, columns: int, like: Tensor) -> None:
        self.top = like.new_full((columns,), -torch.inf)
        self.total = like.new_zeros(columns)
        self.sums = like.new_zeros(columns, like.shape[1])  # (M, C)

    def add(self, scores: Tensor, rows: Tensor) -> None:
        """Take n rows (n, C) with their scores (n, M)."""
        top = torch.maximum(self.top, scores.amax(dim=0))
        shrink = (self.top - top).exp()
        weights = (scores - top).exp_()  # (n, M)
        self.total.mul_(shrink).add_(weights.sum(dim=0))
        self.sums.mul_(shrink[:, None]).addmm_(weights.t(), rows)
        self.top = top

    def result(self) -> Tensor:
        """Return the averages (M, C)."""
        return self.sums / self.total[:, None]


def choose(attn: nn.Module, vision: Tensor, words: Tensor) -> str:
    """Return the implementation that is likely the quickest.

    Measured on CPU: folding halves inference; while training, fused
    attention with dropout takes more time there than the plain steps.
    """
    if vision.device.type != 'cpu':
        return 'sdpa'
    if torch.is_grad_enabled():
        return 'eager'
    length, width = words.shape[1], vision.shape[2]
    size = attn.v_proj.out_features // attn.num_heads
    folded = 3 * width * length  # multiplications a position and head
    plain = 3 * width * size + 4 * size * length
    return 'folded' if folded < plain else 'sdpa'
