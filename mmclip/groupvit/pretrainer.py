"""Learn to group from images and their captions alone.

B pairs on this rank, K prompts a caption, L positions, G segments, D common
width.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mmclip.groupvit.chunks import encode_in_chunks
from mmclip.groupvit.towers import GroupViTTowers
from mmclip.registry import MODELS

MATCHES = ('image', 'segment')


@MODELS.register_module()
class GroupViTPretrainer(GroupViTTowers, BaseModel):
    """Train both encoders with contrastive losses.

    GroupViT, sec. 3.3. The parameter names are those of the published
    checkpoints.

    Args:
        img_encoder: What differs from a default
            :class:`mmclip.groupvit.backbone.GroupViTBackbone`.
        text_encoder: What differs from a default
            :class:`mmclip.groupvit.text.GroupViTTextEncoder`.
        hidden_channels: Hidden width of the projectors.
        out_channels: D.
        multi_label: Whether the loss over noun prompts has its own scale in
            the state dict; a batch with K = 0 does without that loss.
        prompt_match: What prompts are contrasted with: ``'image'``, as
            published, or ``'segment'``, the one of an image's segments that
            fits a prompt best (not in the paper): each segment then learns
            what it is called, and one that holds two things fits neither.
        loss: Config of the loss.
        chunk_size: Pairs that an encoder holds at a time; the contrastive
            batch stays whole. ``None`` for all of them.
        data_preprocessor, init_cfg: mmengine's.
    """

    def __init__(
        self,
        img_encoder: dict | None = None,
        text_encoder: dict | None = None,
        hidden_channels: int = 4096,
        out_channels: int = 256,
        multi_label: bool = True,
        prompt_match: str = 'image',
        loss: dict | None = None,
        chunk_size: int | None = None,
        data_preprocessor: dict | None = None,
        init_cfg=None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if prompt_match not in MATCHES:
            raise ValueError(
                f"prompt_match='{prompt_match}': expected one of "
                f'{", ".join(MATCHES)}'
            )
        self.chunk_size, self.prompt_match = chunk_size, prompt_match
        self.build_towers(
            img_encoder,
            text_encoder,
            hidden_channels,
            out_channels,
            multi_label,
        )
        self.contrastive_loss = MODELS.build(
            dict(type='mmclip.MultiLabelContrastiveLoss') | (loss or {})
        )

    def forward(
        self,
        inputs: Tensor,
        tokens: Tensor,
        mode: str = 'tensor',
        noise: Sequence[Tensor] | None = None,
        **_,
    ) -> dict[str, Tensor] | tuple[Tensor, Tensor]:
        """Run the model.

        Args:
            inputs: Images (B, 3, H, W).
            tokens: Ids (B, 1 + K, L): the caption, then its K prompts.
            mode: ``'loss'`` for the losses, ``'tensor'`` for the features.
            noise: Gumbel samples for each grouping block, drawn if not given.

        Returns:
            The losses by name, or the features of :meth:`features`.

        Raises:
            ValueError: The mode is another, or shapes do not fit.
        """
        if tokens.ndim != 3 or len(tokens) != len(inputs):
            raise ValueError(
                f'tokens {tuple(tokens.shape)} for {len(inputs)} images: '
                'expected (B, 1 + K, L), a caption and its K prompts an image'
            )
        if mode == 'tensor':
            return self.features(inputs, tokens, noise)
        if mode == 'loss':
            return self.loss(inputs, tokens, noise)
        raise ValueError(
            f"mode='{mode}': a pretrainer knows 'loss' and 'tensor'; to "
            'predict, load its weights into mmclip.GroupViTSegmentor'
        )

    def features(
        self,
        inputs: Tensor,
        tokens: Tensor,
        noise: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return image features (B, D) and text features (B, 1 + K, D).

        Encoders run in chunks; projectors see the whole batch, for their
        BatchNorm is part of it.
        """
        return self.image_features(self.pool_groups, inputs, noise), (
            self.text_features(tokens)
        )

    def image_features(self, encode, images: Tensor, noise=None) -> Tensor:
        """Project what ``encode`` makes of images, chunk by chunk."""
        noise = None if noise is None else list(noise)
        return self.img_projector(
            encode_in_chunks(encode, self.chunk_size, images, noise)
        )

    def text_features(self, tokens: Tensor) -> Tensor:
        """Return features (B, 1 + K, D) of ids (B, 1 + K, L)."""
        return self.text_projector(
            encode_in_chunks(self.read, self.chunk_size, tokens)
        )

    def pool_groups(self, images: Tensor, noise=None) -> Tensor:
        """Return the mean segment of each image, (B, C)."""
        return self.img_encoder.encode(images, noise).pooled

    def all_groups(self, images: Tensor, noise=None) -> Tensor:
        """Return each image's mean segment, then its segments: (B, 1+G, C)."""
        grouping = self.img_encoder.encode(images, noise)
        return torch.cat([grouping.pooled[:, None], grouping.segments], dim=1)

    def read(self, ids: Tensor) -> Tensor:
        """Return features (B, 1 + K, C) of ids (B, 1 + K, L)."""
        return self.text_encoder(ids.flatten(0, 1)).unflatten(0, ids.shape[:2])

    def loss(
        self,
        inputs: Tensor,
        tokens: Tensor,
        noise: Sequence[Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss of captions and, for K > 0, that of prompts."""
        if self.prompt_match == 'image':
            image, text = self.features(inputs, tokens, noise)
            named = image
        else:  # the projector's BatchNorm sees segments too, as in testing
            found = self.image_features(self.all_groups, inputs, noise)
            image, named = found[:, 0], found[:, 1:]
            text = self.text_features(tokens)
        losses = dict(
            loss_contrastive=self.contrastive_loss(
                image, text[:, :1], self.logit_scale
            )
        )
        if text.shape[1] > 1:
            losses['loss_multi_label'] = self.contrastive_loss(
                named, text[:, 1:], self.prompt_scale()
            )
        return losses

    def prompt_scale(self) -> Tensor:
        """Return the log scale of the loss over prompts.

        Raises:
            ValueError: The model was built without one.
        """
        if not hasattr(self, 'multi_label_logit_scale'):
            raise ValueError(
                'the batch holds prompts but the model was built with '
                'multi_label=False: build it with True, or give captions '
                'alone, tokens (B, 1, L)'
            )
        return self.multi_label_logit_scale
