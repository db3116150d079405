"""Learn to group from images and their captions alone.

B pairs on this rank, K prompts a caption, L positions, D common width.
"""

from collections.abc import Sequence

from mmengine.model import BaseModel
from torch import Tensor

from mmclip.groupvit.chunks import encode_in_chunks
from mmclip.groupvit.towers import GroupViTTowers
from mmclip.registry import MODELS


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
        loss: dict | None = None,
        chunk_size: int | None = None,
        data_preprocessor: dict | None = None,
        init_cfg=None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.chunk_size = chunk_size
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
        pooled = encode_in_chunks(
            self.pool_groups,
            self.chunk_size,
            inputs,
            None if noise is None else list(noise),
        )
        texts = encode_in_chunks(self.read, self.chunk_size, tokens)
        return self.img_projector(pooled), self.text_projector(texts)

    def pool_groups(self, images: Tensor, noise=None) -> Tensor:
        """Return the mean segment of each image, (B, C)."""
        return self.img_encoder.encode(images, noise).pooled

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
        image, text = self.features(inputs, tokens, noise)
        losses = dict(
            loss_contrastive=self.contrastive_loss(
                image, text[:, :1], self.logit_scale
            )
        )
        if text.shape[1] > 1:
            losses['loss_multi_label'] = self.contrastive_loss(
                image, text[:, 1:], self.prompt_scale()
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
