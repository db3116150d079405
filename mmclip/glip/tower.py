"""The network of GLIP's head: fusion blocks, boxes, and region-word logits.

B images, N positions of a level, L words, C channels, W width of words.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import Scale
from torch import Tensor, nn

from mmclip.glip.attention import LIMIT
from mmclip.glip.bert_layers import BertEncoderLayer
from mmclip.glip.dyconv import DyConv
from mmclip.glip.fusion import cut_to_words
from mmclip.registry import MODELS


class VLFuse(nn.Module):
    """Hold a fusion by the name that published checkpoints give it.

    Args:
        fusion: Config of a fusion, see :mod:`mmclip.glip.fusion`.
    """

    def __init__(self, fusion: dict) -> None:
        super().__init__()
        self.b_attn = MODELS.build(fusion)

    def forward(self, levels, words: Tensor, masks: Tensor):
        """Return fused levels and words."""
        return self.b_attn(levels, words, masks)


class VLDyHead(nn.Module):
    """Fuse, convolve and compare regions with words (GLIP, sec. 3.2).

    Args:
        in_channels: Channels of the levels.
        feat_channels: C.
        language_dim: W.
        num_levels: How many levels there are.
        num_dyhead_blocks: Blocks of fusion, language layer and DyConv.
        early_fuse: Whether there is fusion (GLIP-A: not).
        fusion: Config of a fusion; widths and ``init_values`` may be left
            out.
        text_layer: ``heads`` and ``intermediate`` of the language layers.
        dyconv: Parameters of :class:`mmclip.glip.dyconv.DyConv`.
        num_base_priors: Anchors at a position.
        trim_padding: Whether words are cut to the longest caption first;
            the logits then have as many columns.
    """

    def __init__(
        self,
        in_channels: int = 256,
        feat_channels: int = 256,
        language_dim: int = 768,
        *,
        num_levels: int = 5,
        num_dyhead_blocks: int = 6,
        early_fuse: bool = True,
        fusion: dict | None = None,
        text_layer: dict | None = None,
        dyconv: dict | None = None,
        num_base_priors: int = 1,
        trim_padding: bool = True,
    ) -> None:
        super().__init__()
        self.early_fuse, self.trim_padding = early_fuse, trim_padding
        self.num_base_priors = num_base_priors
        tower, width = [], in_channels
        for _ in range(num_dyhead_blocks):
            if early_fuse:
                own = dict(type='mmclip.BiAttentionFusion', v_dim=width)
                own |= dict(
                    l_dim=language_dim, init_values=1 / num_dyhead_blocks
                )
                tower.append(VLFuse(own | (fusion or {})))
                tower.append(
                    BertEncoderLayer(
                        language_dim, clamp=True, **(text_layer or {})
                    )
                )
            same = {}
            if width != feat_channels:  # as published
                same = dict(use_dyfuse=False, use_dyrelu=False, use_dcn=False)
            options = {**(dyconv or {}), **same}
            tower.append(DyConv(width, feat_channels, **options))
            width = feat_channels
        self.dyhead_tower = nn.ModuleList(tower)
        self.bbox_pred = nn.Conv2d(width, num_base_priors * 4, 1)
        self.centerness = nn.Conv2d(width, num_base_priors, 1)
        self.scales = nn.ModuleList(Scale(1.0) for _ in range(num_levels))
        self.dot_product_projection_text = nn.Linear(
            language_dim, num_base_priors * width
        )
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.bias_lang = nn.Parameter(torch.zeros(language_dim))
        self.bias0 = nn.Parameter(torch.tensor([-math.log(99.0)]))
        for layer in (self.bbox_pred, self.centerness):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(
        self, levels: Sequence[Tensor], language: dict[str, Tensor]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Compare every position with every word.

        Args:
            levels: (B, in_channels, h, w), finest first.
            language: ``embedded`` and ``hidden`` (B, L, W), ``masks``
                (B, L).

        Returns:
            Of each level logits (B, N, L), box deltas (B, 4, h, w) and
            centerness logits (B, 1, h, w).
        """
        return self.outputs(*self.fuse(levels, language))

    def outputs(self, levels: Sequence[Tensor], words: Tensor) -> tuple:
        """Return logits, deltas and centerness of fused levels."""
        read = RegionWordDot(self, words)
        return (
            [read(level) for level in levels],
            [s(self.bbox_pred(x)) for s, x in zip(self.scales, levels)],
            [self.centerness(level) for level in levels],
        )

    def fuse(
        self, levels: Sequence[Tensor], language: dict[str, Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Return the levels, and the words that they are compared with.

        Those are fused where there is fusion, else ``embedded``.
        """
        if self.trim_padding:
            language = cut_to_words(language)
        levels = list(levels)
        words, masks = language['hidden'], language['masks'].bool()
        for layer in self.dyhead_tower:
            if isinstance(layer, VLFuse):
                levels, words = layer(levels, words, masks)
            elif isinstance(layer, BertEncoderLayer):
                words = layer(words, masks)
            else:
                levels = layer(levels)
        return levels, words if self.early_fuse else language['embedded']


class RegionWordDot:
    """Compare positions with words that were projected once.

    Args:
        head: Holds the projection, its scale and biases.
        words: (B, L, W).
    """

    def __init__(self, head: nn.Module, words: Tensor) -> None:
        words = F.normalize(words, dim=-1)
        count = getattr(head, 'num_base_priors', 1)
        keys = head.dot_product_projection_text(words / 2)
        self.keys = keys.unflatten(-1, (count, -1))  # (B, L, A, C)
        self.bias = words @ head.bias_lang  # (B, L)
        if hasattr(head, 'bias0'):
            self.bias = self.bias + head.bias0
        self.scale = head.log_scale.exp()

    def __call__(self, level: Tensor) -> Tensor:
        """Return logits (B, N, L) of a level (B, C, h, w)."""
        positions = level.flatten(2).transpose(1, 2)  # (B, h * w, C)
        dots = torch.einsum('bnc,blac->bnal', positions, self.keys)
        logits = dots.flatten(1, 2) / self.scale + self.bias[:, None]
        return logits.clamp(-LIMIT, LIMIT)
