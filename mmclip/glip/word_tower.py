"""The words' side of GLIP's tower, for words that come one by one.

Who writes a caption may not look ahead. So words read only those before
them, and the image, which would carry later words back, reads none: its side
of the tower is run once, and kept (GLIPv2, sec. 3.1).

B images, N positions of all levels, L words, W their width, H heads of width
d.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from mmclip.glip.attention import heads_of, merge_heads
from mmclip.glip.bert_layers import BertEncoderLayer, later_words
from mmclip.glip.fusion import (
    BiAttentionFusion,
    SeparateBiAttentionFusion,
    flatten_levels,
    split_levels,
)
from mmclip.glip.tower import VLDyHead, VLFuse


class Seen(NamedTuple):
    """What the words of a block read of the image.

    Attributes:
        keys: (B, H, N, d).
        values: (B, H, N, d).
    """

    keys: Tensor
    values: Tensor


def check_tower(tower: VLDyHead) -> None:
    """Refuse a tower whose words do not read the image as a whole.

    Raises:
        ValueError: There is no fusion, or one of another kind.
    """
    kinds = {
        type(layer.b_attn).__name__
        for layer in tower.dyhead_tower
        if isinstance(layer, VLFuse)
        and (
            not isinstance(layer.b_attn, BiAttentionFusion)
            or isinstance(layer.b_attn, SeparateBiAttentionFusion)
        )
    }
    if kinds or not tower.early_fuse:
        raise ValueError(
            f'captions need words that read the image, got '
            f'{sorted(kinds) or "a head without fusion"}: set '
            'bbox_head.early_fuse=True and bbox_head.fusion to '
            'mmclip.BiAttentionFusion'
        )


def remember(tower: VLDyHead, levels: Sequence[Tensor]) -> list[Seen]:
    """Run the image's side alone.

    Args:
        tower: Of a :class:`mmclip.glip.head.GLIPHead`.
        levels: (B, C, h, w), finest first.

    Returns:
        What the words of each block read.
    """
    blocks, levels = list(tower.dyhead_tower), list(levels)
    last = max(k for k, x in enumerate(blocks) if isinstance(x, VLFuse))
    kept = []
    for layer in blocks[: last + 1]:  # nobody reads what comes behind it
        if isinstance(layer, VLFuse):
            fusion = layer.b_attn
            flat = fusion.layer_norm_v(flatten_levels(levels))  # (B, N, C)
            kept.append(seen_of(fusion.attn, flat))
            levels = split_levels(flat, levels)
        elif not isinstance(layer, BertEncoderLayer):
            levels = layer(levels)
    return kept


def seen_of(attn, flat: Tensor) -> Seen:
    """Project normalised positions (B, N, C) to keys and values."""
    return Seen(
        heads_of(attn.v_proj(flat), attn.num_heads),
        heads_of(attn.values_v_proj(flat), attn.num_heads),
    )


def repeated(kept: list[Seen], count: int) -> list[Seen]:
    """Repeat each image so many times, one behind the other."""
    return [
        Seen(*(part.repeat_interleave(count, dim=0) for part in seen))
        for seen in kept
    ]


def read_on(tower: VLDyHead, kept: list[Seen], words: Tensor) -> Tensor:
    """Let words read the image and the words before them.

    Args:
        tower: The tower that made ``kept``.
        kept: From :func:`remember`.
        words: Of a language model that was causal too, (B, L, W).

    Returns:
        Fused words (B, L, W).
    """
    hidden = later_words(words.shape[1], words)
    seen = iter(kept)
    for layer in tower.dyhead_tower:
        if isinstance(layer, VLFuse):
            words = look(layer.b_attn, next(seen), words)
        elif isinstance(layer, BertEncoderLayer):
            words = layer.read(words, hidden)
    return words


def look(fusion: BiAttentionFusion, seen: Seen, words: Tensor) -> Tensor:
    """Let words (B, L, W) read the image, as in the fusion itself."""
    words, attn = fusion.layer_norm_l(words), fusion.attn
    found = F.scaled_dot_product_attention(
        heads_of(attn.l_proj(words), attn.num_heads),
        seen.keys,
        seen.values,
        dropout_p=attn.dropout if attn.training else 0.0,
    )
    delta = attn.out_l_proj(merge_heads(found))
    return words + fusion.drop_path(fusion.gamma_l * delta)
