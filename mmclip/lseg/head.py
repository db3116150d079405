"""Compare every pixel with the text of every name.

B images, F channels of the neck, K names, D embedding width, h x w positions
at half the image's resolution.

Convention: scores are brought to the image's size bilinearly with
align_corners=True.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmclip.clip.phrases import split_phrases
from mmclip.lseg.background import Background
from mmclip.lseg.caption_loss import CaptionLoss
from mmclip.lseg.cosines import cosines_through, parts_of, pixel_norms
from mmclip.lseg.spatial_block import SpatialBlock
from mmclip.lseg.text_sampling import TextSampling
from mmclip.lseg.word_lists import spoken, word_list
from mmclip.registry import MODELS

CROSS_ENTROPY = dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)
REMEMBERED = 512  # vocabularies that came with samples
STRIP = 32  # rows whose pixel embeddings are in memory at once


@MODELS.register_module()
class LSegHead(BaseDecodeHead):
    """Pixel embeddings x text embeddings (LSeg, section 3).

    The text tower runs once a vocabulary. One class serves closed sets, any
    other names, and the zero-shot protocol, in which each image brings its
    own two names in ``data_sample.text``.

    Args:
        vocabulary: Config of a :class:`mmclip.clip.Vocabulary`. It may be
            empty until a checkpoint or ``set_vocabulary`` fills it.
        in_channels: F.
        embed_dims: D, where the vocabulary cannot tell it.
        logit_scale: Factor on the cosines. As released it is a constant.
        learnable_scale: Whether its logarithm is trained (at most 100).
        spatial_block: ``dict(kind='bottleneck', depth=2,
            activation='lrelu')``; see :class:`SpatialBlock`.
        background: ``dict(kind='words' | 'threshold' | 'learnt', ...)``; see
            :class:`Background`.
        phrases: What to say for a name instead of the name, ``{name:
            [phrases]}`` or a key of :mod:`mmclip.lseg.word_lists`. The
            phrases' embeddings are averaged. It holds for each vocabulary
            that comes as a list of names.
        text_sampling: ``dict(prompts=..., synonyms=...)``: each training
            step draws a sentence a name; see :class:`TextSampling`.
        loss_caption: ``dict(loss_weight=1.0, ...)``: samples with a
            ``caption`` also teach its phrases; see :class:`CaptionLoss`.
        kwargs: Further arguments of mmseg's ``BaseDecodeHead``.

    Raises:
        ValueError: D is not known.
    """

    def __init__(
        self,
        vocabulary: dict,
        in_channels: int = 256,
        *,
        embed_dims: int | None = None,
        logit_scale: float = 1 / 0.07,
        learnable_scale: bool = False,
        spatial_block: dict | None = None,
        background: dict | None = None,
        phrases: str | dict | None = None,
        text_sampling: dict | None = None,
        loss_caption: dict | None = None,
        loss_decode: dict | Sequence[dict] = CROSS_ENTROPY,
        align_corners: bool = True,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        phrases = word_list(phrases)
        names = vocabulary.get('names')
        if isinstance(names, (list, tuple)) and 'embeddings' not in vocabulary:
            vocabulary = dict(vocabulary, names=spoken(names, phrases))
        built = MODELS.build(vocabulary)
        embed_dims = (
            embed_dims or built.embed_dims or built.embeddings.shape[1]
        )
        if not embed_dims:
            raise ValueError(
                'the width of the text embeddings is not known before there '
                'are names: set embed_dims in the vocabulary (512 for '
                'ViT-B-32, 128 for shapes-clip)'
            )
        super().__init__(
            in_channels,
            embed_dims,
            num_classes=max(len(built), 3),  # 1 and 2 make mmseg warn
            dropout_ratio=0,
            loss_decode=loss_decode,
            align_corners=align_corners,
            init_cfg=init_cfg,
            **kwargs,
        )
        self.conv_seg = None
        self.vocabulary, self.phrases = built, phrases
        self.project = nn.Conv2d(in_channels, embed_dims, 1)
        self.learnable_scale, self.constant_scale = (
            learnable_scale,
            logit_scale,
        )
        if learnable_scale:
            self.log_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))
        self.spatial_block = spatial_block and SpatialBlock(**spatial_block)
        self.background = background and Background(
            **{
                'vocabulary': vocabulary,
                'embed_dims': embed_dims,
                **background,
            }
        )
        self.text_sampling = (
            None
            if text_sampling is None
            else TextSampling(**{'vocabulary': vocabulary, **text_sampling})
        )
        self.loss_caption = (
            None
            if loss_caption is None
            else CaptionLoss(**{'vocabulary': vocabulary, **loss_caption})
        )
        self._remembered: dict[str, Tensor] = {}
        self._said: dict[str, list[str]] | None = None
        self._follow_vocabulary()

    # ---- names ----

    def set_vocabulary(self, vocabulary, names=None) -> None:
        """Classify among other names from now on.

        Args:
            vocabulary: Names, ``{name: [phrases]}``, or embeddings (K, D);
                see :meth:`mmclip.clip.Vocabulary.set`.
            names: The names of embeddings.
        """
        if names is None and isinstance(vocabulary, (list, tuple)):
            vocabulary = self.spoken(list(vocabulary))
        self.vocabulary.set(vocabulary, names)
        self._said = phrases_of(vocabulary)
        self._follow_vocabulary()

    def spoken(self, names: list[str]) -> dict[str, list[str]]:
        """Return what is encoded for each name."""
        said = spoken(names, self.phrases)
        own = getattr(self.background, 'name', None)
        others = [name for name in names if name != own]
        if own in said and others:
            # Its row is replaced, and a small CLIP may not know the word.
            said[own] = said[others[0]]
        return said

    def _follow_vocabulary(self) -> None:
        """Tell mmseg how many names there are."""
        self.num_classes = self.out_channels = len(self.vocabulary)

    @contextmanager
    def speaking(self, text):
        """Answer in the names of ``text`` within the block.

        Args:
            text: ``'sky . dog'``, names, ``{name: [phrases]}``, or None for
                the vocabulary as it is.
        """
        if text is None:
            yield
            return
        kept = list(self.vocabulary.names), self.vocabulary.embeddings
        said = self._said
        text = split_phrases(text)
        known = self._remembered.get(repr(text))
        if known is not None:
            self.set_vocabulary(known, list(text))
            self._said = phrases_of(text)
        else:
            self.set_vocabulary(text)
            self.remember(text, self.vocabulary.embeddings)
        try:
            yield
        finally:
            if kept[0]:
                self.set_vocabulary(kept[1], kept[0])
                self._said = said

    def remember(self, text, embeddings: Tensor) -> None:
        """Keep what a ``text`` of samples is encoded to.

        Args:
            text: Names, or ``{name: [phrases]}``.
            embeddings: (K, D).
        """
        if len(self._remembered) < REMEMBERED:
            self._remembered[repr(text)] = embeddings

    @property
    def logit_scale(self) -> Tensor | float:
        """Factor on the cosines."""
        if self.learnable_scale:
            return self.log_scale.exp().clamp(max=100)
        return self.constant_scale

    # ---- scores ----

    def forward(self, inputs: Tensor) -> Tensor:
        """Score every name at half the image's resolution.

        Args:
            inputs: The neck's map (B, F, h, w).

        Returns:
            Scores (B, K, h, w).

        Raises:
            RuntimeError: The vocabulary is empty.
        """
        return self.regularise(self.cosines(*self.prepare(inputs)))

    def embed(self, inputs: Tensor) -> Tensor:
        """Map the neck's (B, F, h, w) to pixel embeddings (B, D, h, w).

        They are not of unit length.
        """
        return self.project(inputs)

    def prepare(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return what names are scored from.

        Scores need the lengths of the pixel embeddings but not the
        embeddings, which would be the largest tensor of the model.

        Args:
            inputs: The neck's map (B, F, h, w).

        Returns:
            The same map, and the lengths (B, 1, h, w).
        """
        if torch.is_grad_enabled():
            return inputs, pixel_norms(self.embed(inputs))
        strips = inputs.split(STRIP, dim=2)
        return inputs, torch.cat(
            [pixel_norms(self.embed(strip)) for strip in strips], dim=2
        )

    def cosines(
        self, inputs: Tensor, norm: Tensor, part: slice = slice(None)
    ) -> Tensor:
        """Score some names before the spatial block.

        Args:
            inputs: The neck's map (B, F, h, w).
            norm: Lengths of its pixel embeddings (B, 1, h, w).
            part: The names wanted.
        """
        texts = self._texts()
        factor = self.logit_scale

        def score(some: Tensor) -> Tensor:
            return cosines_through(self.project, inputs, norm, some, factor)

        scores = score(texts[part])
        row, rows = self.background_row, range(len(texts))[part]
        if row not in rows:
            return scores
        row = rows.index(row)
        stand_in = self.background(score, norm, factor).to(scores)
        return torch.cat(
            [scores[:, :row], stand_in, scores[:, row + 1 :]], dim=1
        )

    def _texts(self) -> Tensor:
        texts = self.vocabulary.embeddings  # (K, D)
        if len(texts) == 0:
            raise RuntimeError(
                'the vocabulary is empty: give names or embeddings in the '
                "config, add dict(type='mmclip.VocabularyHook') to "
                'custom_hooks so that it follows the dataset, load a '
                'checkpoint, or call model.set_vocabulary(names)'
            )
        if self.training and self.text_sampling is not None:
            said = self._said or self.spoken(list(self.vocabulary.names))
            return self.text_sampling.draw(said, texts)
        return texts

    @property
    def background_row(self) -> int | None:
        """Which of the names is the background, None if none is."""
        names = self.vocabulary.names
        if self.background is None or self.background.name not in names:
            return None
        return names.index(self.background.name)

    def regularise(
        self, scores: Tensor, largest: list[Tensor] | None = None
    ) -> Tensor:
        """Apply the spatial block, if there is one."""
        if self.spatial_block is None:
            return scores
        return self.spatial_block(scores, largest)

    def chunks(
        self, prepared: tuple[Tensor, Tensor], size: int
    ) -> Iterator[Tensor]:
        """Yield ``forward``'s scores for ``size`` names at a time.

        Args:
            prepared: What ``prepare`` returned.
            size: Names at a time.
        """
        parts = parts_of(len(self._texts()), size)
        largest = None
        if self.spatial_block is not None:
            largest = self.spatial_block.largest(
                lambda: (self.cosines(*prepared, part) for part in parts)
            )
        for part in parts:
            yield self.regularise(self.cosines(*prepared, part), largest)

    def loss(self, inputs, batch_data_samples, train_cfg) -> dict:
        """Compute the losses of masks and, where asked for, of captions.

        With captions, images without a labelled pixel are not scored.
        """
        if self.loss_caption is None:
            return super().loss(inputs, batch_data_samples, train_cfg)
        rows = [
            i
            for i, sample in enumerate(batch_data_samples)
            if (sample.gt_sem_seg.data != self.ignore_index).any()
        ]
        rows = rows or [0]  # a loss of nothing, but one that is there
        losses = super().loss(
            inputs[rows], [batch_data_samples[i] for i in rows], train_cfg
        )
        losses.update(self.caption_losses(inputs, batch_data_samples))
        return losses

    def caption_losses(self, inputs: Tensor, batch_data_samples) -> dict:
        """Return ``loss_caption`` of the samples with a ``caption``.

        Args:
            inputs: The neck's map (B, F, h, w).
            batch_data_samples: B samples.
        """
        if self.loss_caption is None:
            return {}
        captions = [getattr(s, 'caption', None) for s in batch_data_samples]
        loss = self.loss_caption(
            self.embed(inputs), captions, self.logit_scale
        )
        return dict(loss_caption=loss)

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples) -> dict:
        """Compute the losses; labels index the names.

        Raises:
            ValueError: A label lies beyond the names.
        """
        check_labels(
            self._stack_batch_gt(batch_data_samples),
            seg_logits.shape[1],
            self.ignore_index,
        )
        return super().loss_by_feat(seg_logits, batch_data_samples)


def phrases_of(text) -> dict[str, list[str]] | None:
    """Return what ``{name: [phrases]}`` says for each name, else None."""
    if not isinstance(text, Mapping):
        return None
    return {
        name: [some] if isinstance(some, str) else list(some)
        for name, some in text.items()
    }


def check_labels(labels: Tensor, num_names: int, ignore_index: int) -> None:
    """Raise a ValueError where a label has no name."""
    valid = labels[labels != ignore_index]
    if valid.numel() == 0:
        return
    low, high = int(valid.min()), int(valid.max())
    if low < 0 or high >= num_names:
        raise ValueError(
            f'a pixel has label {low if low < 0 else high} but the vocabulary '
            f'has {num_names} names (and {ignore_index} is ignored): the '
            'dataset has other classes; add '
            "dict(type='mmclip.VocabularyHook') to custom_hooks, give the "
            'same names to both, or set reduce_zero_label'
        )
