"""Let image levels and words attend to each other before detection.

B images, N positions of all levels, L words, C and W widths of levels and
words, E width of the attention, H heads of d = E / H.

Every fusion is called as ``fusion(levels, words, masks)``: levels (B, C, h,
w), finest first, words (B, L, W), masks bool (B, L), true for words. It
returns new levels and words.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmclip.glip.attention import (
    MASKED,
    choose,
    eager_both_ways,
    folded_both_ways,
    heads_of,
    sdpa_both_ways,
)
from mmclip.registry import MODELS


def flatten_levels(levels: Sequence[Tensor]) -> Tensor:
    """Return all positions of all levels, row by row, (B, N, C)."""
    return torch.cat([x.flatten(2) for x in levels], dim=2).transpose(1, 2)


def split_levels(flat: Tensor, levels: Sequence[Tensor]) -> list[Tensor]:
    """Undo :func:`flatten_levels`; sizes are those of ``levels``."""
    parts = flat.transpose(1, 2).split([x[0, 0].numel() for x in levels], 2)
    # mmcv's compiled kernels go through memory without asking for strides
    return [
        part.unflatten(2, x.shape[2:]).contiguous()
        for part, x in zip(parts, levels)
    ]


def cut_to_words(language: dict) -> dict:
    """Cut padding off that no caption of the batch fills.

    Padding never reaches an image or a word, so what is left is unchanged.

    Args:
        language: ``masks`` (B, L) and anything else of B x L rows.
    """
    masks = language['masks'].bool()
    used = masks.any(dim=0).nonzero()
    length = int(used[-1]) + 1 if len(used) else 1
    return {
        key: value[:, :length]
        if isinstance(value, Tensor) and value.shape[:2] == masks.shape
        else value
        for key, value in language.items()
    }


class BiMultiHeadAttention(nn.Module):
    """Attend from positions to words and from words to positions at once.

    Both directions read one score matrix; padding is masked for positions
    that look at words, and never seen otherwise (GLIP, eq. 4 to 6).

    Args:
        v_dim: C.
        l_dim: W.
        embed_dim: E.
        num_heads: H.
        dropout: Share of attention weights that is dropped in training.
        attn_impl: ``'eager'`` computes the published steps, clamps included;
            ``'sdpa'`` calls torch's fused attention twice; ``'folded'``
            multiplies the projections into the few words, and streams over
            positions without keeping the scores, without a gradient;
            ``'auto'`` takes the cheapest. All are the same mathematics.
    """

    def __init__(
        self,
        v_dim: int,
        l_dim: int,
        embed_dim: int,
        num_heads: int,
        *,
        dropout: float = 0.1,
        attn_impl: str = 'auto',
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(
                f'embed_dim={embed_dim} is no multiple of '
                f'num_heads={num_heads}: change one of them'
            )
        if attn_impl not in ('auto', 'eager', 'sdpa', 'folded'):
            raise ValueError(
                f"attn_impl='{attn_impl}': expected auto, eager, sdpa or "
                'folded'
            )
        self.num_heads, self.dropout = num_heads, dropout
        self.attn_impl = attn_impl
        self.v_proj = nn.Linear(v_dim, embed_dim)
        self.l_proj = nn.Linear(l_dim, embed_dim)
        self.values_v_proj = nn.Linear(v_dim, embed_dim)
        self.values_l_proj = nn.Linear(l_dim, embed_dim)
        self.out_v_proj = nn.Linear(embed_dim, v_dim)
        self.out_l_proj = nn.Linear(embed_dim, l_dim)
        for layer in self.children():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, vision: Tensor, words: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what is to be added to positions (B, N, C) and words."""
        impl = self.attn_impl
        if impl == 'auto':
            impl = choose(self, vision, words)
        if impl == 'folded' and torch.is_grad_enabled():
            impl = 'sdpa'
        if impl == 'folded':
            return folded_both_ways(self, vision, words, masks)
        both_ways = eager_both_ways if impl == 'eager' else sdpa_both_ways
        query = heads_of(self.v_proj(vision), self.num_heads)
        key = heads_of(self.l_proj(words), self.num_heads)
        to_words, to_vision = both_ways(
            query,
            key,
            heads_of(self.values_v_proj(vision), self.num_heads),
            heads_of(self.values_l_proj(words), self.num_heads),
            masks,
            self.dropout if self.training else 0.0,
        )
        return self.out_v_proj(to_vision), self.out_l_proj(to_words)


@MODELS.register_module()
class BiAttentionFusion(nn.Module):
    """Fuse all levels with the words in both directions (MHA-B).

    GLIP, sec. 3.2. What is added comes to the *normalised* input, as in the
    published code.

    Args:
        v_dim: C.
        l_dim: W.
        embed_dim: E.
        num_heads: H.
        dropout: Of attention weights.
        drop_path: Chance of leaving a sample's fusion out in training.
        init_values: First value of the scales of what is added; published:
            one by the number of blocks.
        attn_impl: See :class:`BiMultiHeadAttention`.
        with_cp: Whether activations are computed again in the backward pass
            to save memory.
    """

    def __init__(
        self,
        v_dim: int = 256,
        l_dim: int = 768,
        embed_dim: int = 2048,
        num_heads: int = 8,
        *,
        dropout: float = 0.1,
        drop_path: float = 0.0,
        init_values: float = 1 / 6,
        attn_impl: str = 'auto',
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.layer_norm_v = nn.LayerNorm(v_dim)
        self.layer_norm_l = nn.LayerNorm(l_dim)
        self.attn = BiMultiHeadAttention(
            v_dim,
            l_dim,
            embed_dim,
            num_heads,
            dropout=dropout,
            attn_impl=attn_impl,
        )
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.gamma_v = nn.Parameter(torch.full((v_dim,), init_values))
        self.gamma_l = nn.Parameter(torch.full((l_dim,), init_values))
        self.with_cp = with_cp

    def forward(
        self, levels: Sequence[Tensor], words: Tensor, masks: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Fuse; shapes stay."""
        flat = flatten_levels(levels)  # (B, N, C)
        if self.with_cp and torch.is_grad_enabled():
            flat, words = checkpoint(
                self.attend, flat, words, masks, use_reentrant=False
            )
        else:
            flat, words = self.attend(flat, words, masks)
        return split_levels(flat, levels), words

    def attend(
        self, flat: Tensor, words: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Normalise, attend both ways, add."""
        flat, words = self.layer_norm_v(flat), self.layer_norm_l(words)
        delta_v, delta_l = self.attn(flat, words, masks.bool())
        return (
            flat + self.drop_path(self.gamma_v * delta_v),
            words + self.drop_path(self.gamma_l * delta_l),
        )


@MODELS.register_module()
class SeparateBiAttentionFusion(BiAttentionFusion):
    """Fuse each level with the words by itself, then join the words.

    The weights are shared by the levels; the words of all levels, side by
    side, are projected back to their width (SEPARATE_BIDIRECTIONAL of
    microsoft/GLIP).

    Args:
        num_levels: How many levels there are.
        l_dim: W.
        **kwargs: As for :class:`BiAttentionFusion`.
    """

    def __init__(
        self, *args, num_levels: int = 5, l_dim: int = 768, **kwargs
    ) -> None:
        super().__init__(*args, l_dim=l_dim, **kwargs)
        self.num_levels = num_levels
        self.shrink_lang = WordResizer(l_dim * num_levels, l_dim)

    def forward(
        self, levels: Sequence[Tensor], words: Tensor, masks: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Fuse; shapes stay."""
        if len(levels) != self.num_levels:
            raise ValueError(
                f'got {len(levels)} levels but num_levels={self.num_levels}'
            )
        fuse = super().forward
        fused = [fuse([level], words, masks) for level in levels]
        joined = torch.cat([own for _, own in fused], dim=-1)
        return [level for (level,), _ in fused], self.shrink_lang(joined)


class WordResizer(nn.Module):
    """Project words to another width, normalise, drop.

    Args:
        in_dim: Width before.
        out_dim: Width after.
        dropout: Share that is dropped in training.
    """

    def __init__(
        self, in_dim: int, out_dim: int, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.fc = nn.Linear(in_dim, out_dim)
        self.layer_norm = nn.LayerNorm(out_dim, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Tensor) -> Tensor:
        """Return (B, L, out_dim)."""
        return self.dropout(self.layer_norm(self.fc(words)))


class TextToImageAttention(nn.Module):
    """Attend from positions to words.

    Args:
        v_dim: C.
        l_dim: W.
        embed_dim: E.
        num_heads: H.
        dropout: Of attention weights.
    """

    def __init__(
        self,
        v_dim: int,
        l_dim: int,
        embed_dim: int,
        num_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.q_proj = nn.Linear(v_dim, embed_dim)
        self.k_proj = nn.Linear(l_dim, embed_dim)
        self.v_proj = nn.Linear(l_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, v_dim)
        for layer in self.children():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, vision: Tensor, words: Tensor, masks: Tensor) -> Tensor:
        """Return what is to be added to the positions (B, N, C)."""
        seen = (~masks)[:, None, None, :] * vision.new_tensor(MASKED)
        found = F.scaled_dot_product_attention(
            heads_of(self.q_proj(vision), self.num_heads),
            heads_of(self.k_proj(words), self.num_heads),
            heads_of(self.v_proj(words), self.num_heads),
            attn_mask=seen.to(vision.dtype),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out_proj(found.transpose(1, 2).flatten(2))


@MODELS.register_module()
class TextToImageFusion(nn.Module):
    """Let the levels read the words, which stay as they are (MHA-S).

    Args:
        v_dim: C.
        l_dim: W.
        embed_dim: E.
        num_heads: H.
        dropout: Of attention weights.
        drop_path: Chance of leaving a sample's fusion out in training.
        init_values: First value of the scale of what is added.
        official_quirks: Whether the words are normalised once more for each
            further level, as the published loop does; else once for all.
    """

    def __init__(
        self,
        v_dim: int = 256,
        l_dim: int = 768,
        embed_dim: int = 2048,
        num_heads: int = 8,
        *,
        dropout: float = 0.1,
        drop_path: float = 0.0,
        init_values: float = 1 / 6,
        official_quirks: bool = True,
    ) -> None:
        super().__init__()
        self.layer_norm_q_1 = nn.LayerNorm(v_dim)
        self.layer_norm_k_1 = nn.LayerNorm(l_dim)
        self.attn = TextToImageAttention(
            v_dim, l_dim, embed_dim, num_heads, dropout
        )
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.gamma = nn.Parameter(torch.full((v_dim,), init_values))
        self.official_quirks = official_quirks

    def forward(
        self, levels: Sequence[Tensor], words: Tensor, masks: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Fuse; the words come back unchanged."""
        fused, read = [], self.layer_norm_k_1(words)
        for k, level in enumerate(levels):
            if k and self.official_quirks:
                read = self.layer_norm_k_1(read)
            flat = self.layer_norm_q_1(flatten_levels([level]))
            delta = self.attn(flat, read, masks.bool())
            flat = flat + self.drop_path(self.gamma * delta)
            fused += split_levels(flat, [level])
        return fused, words
