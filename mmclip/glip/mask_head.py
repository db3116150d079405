"""GLIPv2's mask head: the pixels of a region are compared with words.

N regions, B images, L words, W width of words, C channels, S side of a
region's features.
"""

import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import Tensor, nn

from mmclip.glip.tower import RegionWordDot
from mmclip.registry import MODELS


@MODELS.register_module()
class VLMaskHead(FCNMaskHead):
    """Cut out what a region's words name (GLIPv2, sec. 3.1).

    mmdet's mask head, whose last layer is a dot product with the words, as
    in GLIP's box head but without its constant bias; no class count.

    Args:
        language_dim: W.
        loss_mask: Config of the loss; mmdet's own by default.
        **kwargs: As for mmdet's FCNMaskHead.
    """

    def __init__(
        self,
        *args,
        language_dim: int = 768,
        loss_mask: dict | None = None,
        **kwargs,
    ) -> None:
        # with its prefix: an inherited config has another scope than mmdet's
        loss_mask = loss_mask or dict(
            type='mmdet.CrossEntropyLoss', use_mask=True, loss_weight=1.0
        )
        super().__init__(
            *args, class_agnostic=True, loss_mask=loss_mask, **kwargs
        )
        self.conv_logits = None
        width = self.conv_out_channels
        self.dot_product_projection_text = nn.Linear(language_dim, width)
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.bias_lang = nn.Parameter(torch.zeros(language_dim))

    def pixels(self, regions: Tensor) -> Tensor:
        """Return pixel features (N, C, 2S, 2S) of regions (N, C, S, S)."""
        for conv in self.convs:
            regions = conv(regions)
        return self.relu(self.upsample(regions))

    def word_logits(
        self, regions: Tensor, words: Tensor, images: Tensor
    ) -> Tensor:
        """Compare every pixel with every word.

        Args:
            regions: (N, C, S, S).
            words: Fused words (B, L, W).
            images: Of each region its image (N,).

        Returns:
            (N, L, 2S, 2S).
        """
        pixels = self.pixels(regions)
        logits = RegionWordDot(self, words[images])(pixels)
        return logits.transpose(1, 2).unflatten(2, pixels.shape[2:])

    def forward(
        self, regions: Tensor, words: Tensor, images: Tensor, rows: Tensor
    ) -> Tensor:
        """Compare pixels with the mean of their region's words.

        Args:
            regions: (N, C, S, S).
            words: Fused words (B, L, W).
            images: Of each region its image (N,).
            rows: Of each region its tokens, bool (N, L).

        Returns:
            Mask logits (N, 1, 2S, 2S).
        """
        pixels = self.pixels(regions)
        share = rows[:, : words.shape[1]].to(pixels)
        share = share / share.sum(dim=1, keepdim=True).clamp(min=1)
        dot = RegionWordDot(self, words)
        # the mean of dot products is the dot product with the mean word
        keys = torch.einsum('nl,nlc->nc', share, dot.keys[images, :, 0])
        bias = (share * dot.bias[images]).sum(dim=1)[:, None, None]
        logits = torch.einsum('nchw,nc->nhw', pixels, keys)
        return (logits / dot.scale + bias)[:, None]

    def mask_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean binary cross entropy of positives.

        Args:
            logits: (P, 1, 2S, 2S).
            targets: 0 or 1, (P, 2S, 2S).
        """
        if not len(logits):
            return logits.sum() + self.log_scale.sum() * 0
        labels = torch.zeros(len(logits), dtype=torch.long)
        return self.loss_mask(logits, targets, labels.to(logits.device)).sum()
