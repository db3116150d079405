"""What a detector that reads captions has in common: texts in, words out.

B images, T different captions, P pairs of an image and a caption (chunks of
long lists are pairs of their own), L tokens.
"""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mmclip.glip.grounding import (
    GroundedBatch,
    Grounding,
    ground,
    ground_batch,
    ground_once,
)
from mmclip.glip.text_cache import TextCache
from mmclip.registry import MODELS

OPTIONS = dict(
    tokens_positive='tokens_positive',
    custom_entities='custom_entities',
    prompts='caption_prompt',
)


def spoken(sample, **defaults) -> dict:
    """Return what a data sample says, as arguments of ``ground``.

    Raises:
        ValueError: It says nothing.
    """
    if sample.get('text') is None:
        raise ValueError(
            'a data sample has no text: set return_classes=True in the data '
            "set and add 'text' to meta_keys, or pass texts to the inferencer"
        )
    given = {k: sample.get(name) for k, name in OPTIONS.items()}
    given = {k: v for k, v in given.items() if v is not None}
    text = sample.text
    if isinstance(text, tuple):
        text = list(text)
    return dict(defaults, text=text, **given)


class ReadsText:
    """Mixin for detectors with a ``language_model``.

    Args:
        language_model: Config of a language model, see
            :class:`mmclip.glip.bert.GLIPBert`.
        text_cache: How many captions are kept while the model is in eval
            mode; 0 keeps none.
    """

    def add_language(self, language_model: dict, text_cache: int) -> None:
        """Build the language model; called by a detector's constructor."""
        self.language_model = MODELS.build(language_model)
        self.text_cache = TextCache(text_cache) if text_cache else None

    @property
    def tokenizer(self):
        """Return the tokenizer of the language model."""
        return self.language_model.tokenizer

    def train(self, mode: bool = True):
        """Set the mode; words read before are forgotten."""
        self.forget()
        return super().train(mode)

    def _load_from_state_dict(self, *args, **kwargs):
        self.forget()
        return super()._load_from_state_dict(*args, **kwargs)

    def _apply(self, *args, **kwargs):
        self.forget()  # the words would lie on another device
        return super()._apply(*args, **kwargs)

    def forget(self) -> None:
        """Forget the words of captions."""
        if getattr(self, 'text_cache', None) is not None:
            self.text_cache.clear()

    def read(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return the words of captions, each read once."""
        unique = list(dict.fromkeys(texts))
        kept = self.text_cache is not None and not (
            self.training or torch.is_grad_enabled()
        )
        if kept:
            words = self.text_cache(self.language_model, unique)
        else:
            words = self.language_model(unique)
        if len(unique) == len(texts):
            return words
        rows = torch.tensor([unique.index(text) for text in texts])
        return {k: v[rows.to(v.device)] for k, v in words.items()}

    def ground_training(self, samples: Sequence) -> list[Grounding]:
        """Return the caption of each training image.

        A caption without ``tokens_positive`` is a list of names with full
        stops between them, as in mmdet's training.
        """
        return [
            ground_once(
                tokenizer=self.tokenizer,
                **spoken(sample, custom_entities=True),
            )
            for sample in samples
        ]

    def ground_test(self, samples: Sequence) -> GroundedBatch:
        """Return the captions of a test batch, long lists in chunks.

        ``test_cfg.chunked_size`` is the most names of a chunk; by default as
        many as fit.
        """
        size = (self.test_cfg or {}).get('chunked_size', None)
        size = size if size and size > 0 else None
        return ground_batch(
            [
                ground(
                    tokenizer=self.tokenizer,
                    **spoken(sample, chunk_size=size),
                )
                for sample in samples
            ]
        )


class TextConditioned(ReadsText):
    """Mixin that puts a fusion behind a detector's neck.

    Every head of mmdet so sees levels that have read the caption.
    """

    def __init__(
        self,
        *args,
        language_model: dict,
        fusion_neck: dict,
        text_cache: int = 256,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.add_language(language_model, text_cache)
        self.fusion_neck = MODELS.build(fusion_neck)
        self._words = None

    @contextmanager
    def reading(self, samples: Sequence):
        """Let ``extract_feat`` see the words of ``samples``."""
        grounded = self.ground_training(samples)
        self._words = self.read([one.caption for one in grounded])
        try:
            yield
        finally:
            self._words = None

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return fused levels.

        Raises:
            RuntimeError: No text was read: mmdet calls it from elsewhere.
        """
        if self._words is None:
            raise RuntimeError(
                'a text-conditioned detector needs captions: call loss, '
                'predict or forward with data samples that have text'
            )
        levels = super().extract_feat(batch_inputs)
        return tuple(self.fusion_neck(levels, self._words)[0])

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Compute the losses with the captions in sight."""
        with self.reading(batch_data_samples):
            return super().loss(batch_inputs, batch_data_samples)

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list, **kwargs
    ) -> list:
        """Detect with the captions in sight."""
        with self.reading(batch_data_samples):
            return super().predict(batch_inputs, batch_data_samples, **kwargs)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list):
        with self.reading(batch_data_samples):
            return super()._forward(batch_inputs, batch_data_samples)
