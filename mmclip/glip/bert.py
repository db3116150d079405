"""BERT as GLIP's language model.

B captions, L tokens, C width. Masks are bool (B, L).
"""

import re
from collections.abc import Mapping, Sequence
from os import PathLike

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmclip.clip.checkpoint import read_state
from mmclip.glip.bert_layers import Bert
from mmclip.glip.tokenizer import (
    SpanTokenizer,
    WordPieceTokenizer,
    build_tokenizer,
)
from mmclip.registry import MODELS


def language_features(hidden: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Return what a language model hands to GLIP.

    Returns:
        ``hidden`` (B, L, C), ``masks`` bool (B, L), and ``embedded``, the
        former with zeros for padding.
    """
    embedded = hidden * masks[..., None].to(hidden.dtype)
    return dict(embedded=embedded, hidden=hidden, masks=masks)


@MODELS.register_module()
class GLIPBert(BaseModule):
    """Read captions with BERT, offline.

    The published checkpoints of GLIP hold its weights; the vocabulary is
    read when the first caption comes. Captions are padded to the longest
    of a batch, which changes no word (the release pads to 256).

    Args:
        vocab_file: BERT's ``vocab.txt``, or its pieces; see
            :class:`mmclip.glip.tokenizer.WordPieceTokenizer`. Unused where
            ``tokenizer`` is given.
        tokenizer: A tokenizer in its place, or its config.
        vocab_size: Rows of the word table.
        width: C.
        layers: How many.
        heads: H.
        intermediate: Width of the feed-forward parts; 4 C by default.
        max_positions: Rows of the position table.
        max_tokens: Most tokens of a caption.
        truncate: Whether a longer caption is cut, as published, instead of
            refused.
        dropout: In training.
        frozen: Whether it stays in eval mode and gets no gradient.
        with_cp: Whether activations are computed again going backward.
        pretrained: BERT's published weights, a local file; read when a
            training begins (a checkpoint of GLIP holds them already).
        init_cfg: As for mmengine's BaseModule.
    """

    def __init__(
        self,
        vocab_file: str | PathLike | Sequence[str] | None = None,
        *,
        tokenizer: SpanTokenizer | dict | None = None,
        vocab_size: int = 30522,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        intermediate: int | None = None,
        max_positions: int = 512,
        max_tokens: int = 256,
        truncate: bool = False,
        dropout: float = 0.1,
        frozen: bool = False,
        with_cp: bool = False,
        pretrained: str | PathLike | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.pretrained = pretrained
        if max_tokens > max_positions:
            raise ValueError(
                f'max_tokens={max_tokens} but BERT has '
                f'max_positions={max_positions}: lower the former'
            )
        self.vocab_file, self.vocab_size = vocab_file, vocab_size
        self.truncate = truncate
        self._tokenizer = None
        if tokenizer is not None:
            self._tokenizer = build_tokenizer(tokenizer)
        self.max_tokens, self.language_dim = max_tokens, width
        body = Bert(
            vocab_size,
            width,
            layers,
            heads,
            intermediate,
            max_positions,
            dropout,
            with_cp,
        )
        body.apply(draw)
        # language_backbone.body.model as in all checkpoints of GLIP
        self.language_backbone = nn.ModuleDict(
            dict(body=nn.ModuleDict(dict(model=body)))
        )
        self.frozen = frozen
        self.requires_grad_(not frozen)
        self.train(not frozen)

    def init_weights(self) -> None:
        """Read BERT's published weights, if a file was named."""
        super().init_weights()
        if self.pretrained is not None:
            body = self.language_backbone['body']['model']
            load_bert(body, read_state(self.pretrained))

    @property
    def tokenizer(self) -> SpanTokenizer:
        """Return the tokenizer; the vocabulary is read at the first call.

        Raises:
            ValueError: There is none, or it has ids that BERT has not.
        """
        if self._tokenizer is not None:
            return self._tokenizer
        if self.vocab_file is None:
            raise ValueError(
                'the language model has no vocabulary: set '
                "language_model.vocab_file to BERT's vocab.txt"
            )
        self._tokenizer = WordPieceTokenizer(
            self.vocab_file,
            max_tokens=self.max_tokens,
            truncate=self.truncate,
        )
        known = getattr(self._tokenizer, 'vocab', {})
        if known and max(known.values()) >= self.vocab_size:
            raise ValueError(
                f'the vocabulary has ids up to {max(known.values())} but '
                f'vocab_size={self.vocab_size}: it is of another BERT'
            )
        return self._tokenizer

    def train(self, mode: bool = True):
        """Set the mode; a frozen model stays in eval mode."""
        return super().train(mode and not self.frozen)

    def forward(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Read B captions; see :func:`language_features`."""
        ids, masks = self.tokenizer(list(texts))
        return self.read(ids, masks)

    def read(
        self, ids: Tensor, masks: Tensor, causal: bool = False
    ) -> dict[str, Tensor]:
        """Read ids (B, L), such as some that were masked.

        Args:
            ids: (B, L).
            masks: (B, L).
            causal: Whether a word reads only those before it, as one must
                that tells the next.
        """
        body = self.language_backbone['body']['model']
        device = body.embeddings.word_embeddings.weight.device
        ids, masks = ids.to(device), masks.bool().to(device)
        with torch.set_grad_enabled(
            torch.is_grad_enabled() and not self.frozen
        ):
            hidden = body(ids, masks, causal)
        return language_features(hidden, masks)


def draw(module: nn.Module) -> None:
    """Draw weights as BERT does: normal, 0.02; no bias."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
        if getattr(module, 'bias', None) is not None:
            nn.init.zeros_(module.bias)


def load_bert(body: Bert, published: Mapping[str, Tensor]) -> None:
    """Fill a BERT from a published file, whatever head it has.

    Args:
        body: To be filled.
        published: Names as in Hugging Face's files, new or old.

    Raises:
        ValueError: A tensor is missing or of another shape.
    """
    state = {}
    for name, value in published.items():
        name = name.removeprefix('bert.')
        name = re.sub(r'LayerNorm\.gamma$', 'LayerNorm.weight', name)
        state[re.sub(r'LayerNorm\.beta$', 'LayerNorm.bias', name)] = value
    own = body.state_dict()
    wrong = [
        name
        for name, value in own.items()
        if name not in state or state[name].shape != value.shape
    ]
    if wrong:
        raise ValueError(
            f'{len(wrong)} of {len(own)} tensors are missing or of another '
            f'shape, such as {wrong[0]}: expected the weights of a BERT of '
            'the same width and depth, such as bert-base-uncased'
        )
    body.load_state_dict({name: state[name] for name in own})
