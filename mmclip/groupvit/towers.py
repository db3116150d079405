"""Both encoders of GroupViT with their projectors and scales.

B images, K names, T sentences a name, G groups, D common width.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.groupvit.backbone import Grouping
from mmclip.registry import MODELS


class GroupViTTowers:
    """Give a model the modules of a published checkpoint, by their names.

    Mixed into the pretrainer and the segmentor, so that the state dict of
    one loads into the other.
    """

    def build_towers(
        self,
        img_encoder: dict | None,
        text_encoder: dict | None,
        hidden_channels: int,
        out_channels: int,
        multi_label: bool,
    ) -> None:
        """Build the encoders from configs, the rest from their widths."""
        image = dict(type='mmclip.GroupViTBackbone') | (img_encoder or {})
        text = dict(type='mmclip.GroupViTTextEncoder') | (text_encoder or {})
        self.img_encoder = MODELS.build(image)
        self.text_encoder = MODELS.build(text)
        self.img_projector, self.text_projector = (
            MODELS.build(
                dict(
                    type='mmclip.GroupViTProjector',
                    in_channels=encoder.embed_dims,
                    hidden_channels=hidden_channels,
                    out_channels=out_channels,
                )
            )
            for encoder in (self.img_encoder, self.text_encoder)
        )
        start = math.log(1 / 0.07)
        self.logit_scale = nn.Parameter(torch.tensor(start))
        if multi_label:
            self.multi_label_logit_scale = nn.Parameter(torch.tensor(start))

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor, Grouping]:
        """Return image features (B, D), groups' (B, G, D) and the grouping.

        Neither is normalised.
        """
        grouping = self.img_encoder.encode(images)
        # the projector is no linear map, so both go through it; in training
        # its BatchNorm sees pooled features alone
        whole = self.img_projector(grouping.pooled)
        return whole, self.img_projector(grouping.segments), grouping

    def encode_text(self, ids: Tensor) -> Tensor:
        """Return features (..., D) of token ids (..., L), not normalised."""
        features = self.text_encoder(ids.flatten(0, -2))
        return self.text_projector(features).unflatten(0, ids.shape[:-1])

    @torch.no_grad()
    def embed_names(self, ids: Tensor) -> Tensor:
        """Embed names that stand in several sentences.

        Args:
            ids: Token ids (K, T, L).

        Returns:
            Unit embeddings (K, D): the mean over sentences of features that
            are not normalised, as published.
        """
        return F.normalize(self.encode_text(ids).mean(dim=1), dim=-1)

    def encode_names(self, ids: Tensor) -> Tensor:
        """Return :meth:`embed_names` of ids that may be elsewhere."""
        return self.embed_names(ids.to(self.logit_scale.device))
