"""BERT in plain torch: a language model, and a layer for the head.

Parameter names are those of the published checkpoints (Devlin et al., 2019;
the layout of Hugging Face's ``BertModel``), so they load as they are.

B captions, L tokens, C width, H heads. Masks are bool (B, L).
"""

import re
from collections.abc import Mapping, Sequence
from os import PathLike

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmclip.clip.checkpoint import read_state
from mmclip.glip.attention import LIMIT, added_mask, heads_of, merge_heads
from mmclip.glip.tokenizer import (
    SpanTokenizer,
    WordPieceTokenizer,
    build_tokenizer,
)
from mmclip.registry import MODELS

EPS = 1e-12


class BertSelfAttention(nn.Module):
    """Let every token read all tokens.

    Args:
        width: C.
        heads: H.
        dropout: Of the weights.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Return (B, L, C); ``hidden`` is added to the scores."""
        found = F.scaled_dot_product_attention(
            heads_of(self.query(x), self.heads),
            heads_of(self.key(x), self.heads),
            heads_of(self.value(x), self.heads),
            attn_mask=hidden,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return merge_heads(found)


class BertOutput(nn.Module):
    """Project, add what went in, normalise.

    Args:
        in_width: Width of what is projected.
        width: C.
        dropout: Of the projection.
        clamp: Whether numbers stay within +-50000.
    """

    def __init__(
        self, in_width: int, width: int, dropout: float, clamp: bool
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(in_width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.clamp = clamp

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Return (B, L, C)."""
        x = limited(self.dropout(self.dense(x)), self.clamp)
        return limited(self.LayerNorm(x + before), self.clamp)


class BertAttention(nn.Module):
    """Self-attention and its output projection.

    Args:
        width: C.
        heads: H.
        dropout: Of weights and output.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self = BertSelfAttention(width, heads, dropout)
        self.output = BertOutput(width, width, dropout, clamp=False)

    def forward(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Return (B, L, C)."""
        return self.output(self.self(x, hidden), x)


class BertIntermediate(nn.Module):
    """The wide layer of the feed-forward part.

    Args:
        width: C.
        intermediate: Its width.
        clamp: Whether numbers stay within +-50000.
    """

    def __init__(self, width: int, intermediate: int, clamp: bool) -> None:
        super().__init__()
        self.dense = nn.Linear(width, intermediate)
        self.clamp = clamp

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, L, intermediate)."""
        x = limited(self.dense(x), self.clamp)
        return limited(F.gelu(x), self.clamp)


def limited(x: Tensor, clamp: bool) -> Tensor:
    """Keep numbers where half precision can write them."""
    return x.clamp(-LIMIT, LIMIT) if clamp else x


class BertEncoderLayer(nn.Module):
    """A layer of BERT; in GLIP's head it reads the fused words.

    Args:
        width: C.
        heads: H.
        intermediate: Width of the feed-forward part; 4 C by default.
        dropout: Of attention weights and projections.
        clamp: Whether numbers of the feed-forward part stay within +-50000,
            as in GLIP's head.
    """

    def __init__(
        self,
        width: int = 768,
        heads: int = 12,
        intermediate: int | None = None,
        *,
        dropout: float = 0.1,
        clamp: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(
                f'width {width} is no multiple of {heads} heads: change one'
            )
        intermediate = intermediate or 4 * width
        self.attention = BertAttention(width, heads, dropout)
        self.intermediate = BertIntermediate(width, intermediate, clamp)
        self.output = BertOutput(intermediate, width, dropout, clamp)

    def forward(self, x: Tensor, masks: Tensor) -> Tensor:
        """Return (B, L, C); padding is not read."""
        return self.read(x, hidden_words(masks, x.dtype))

    def read(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Do the same with the mask of :func:`hidden_words`."""
        x = self.attention(x, hidden)
        return self.output(self.intermediate(x), x)


def hidden_words(masks: Tensor, dtype: torch.dtype) -> Tensor | None:
    """Return what is added to scores, (B, 1, 1, L); None for nothing."""
    masks = masks.bool()
    return None if masks.all() else added_mask(masks, dtype)[:, None, None]


class BertEmbeddings(nn.Module):
    """Sum the embeddings of words, positions and segments; normalise.

    Args:
        vocab_size: Rows of the word table.
        width: C.
        max_positions: Rows of the position table.
        dropout: Of the sum.
    """

    def __init__(
        self, vocab_size: int, width: int, max_positions: int, dropout: float
    ) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(max_positions, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Embed ids (B, L) of one segment: (B, L, C)."""
        x = self.word_embeddings(ids) + self.token_type_embeddings.weight[0]
        x = x + self.position_embeddings.weight[: ids.shape[1]]
        return self.dropout(self.LayerNorm(x))


class BertLayers(nn.Module):
    """The layers of a BERT, one after another.

    Args:
        layers: How many.
        with_cp: Whether activations are computed again going backward.
        **kwargs: As for :class:`BertEncoderLayer`.
    """

    def __init__(self, layers: int, with_cp: bool = False, **kwargs) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            BertEncoderLayer(**kwargs) for _ in range(layers)
        )
        self.with_cp = with_cp

    def forward(self, x: Tensor, masks: Tensor) -> Tensor:
        """Return the last layer's words (B, L, C)."""
        hidden = hidden_words(masks, x.dtype)
        for layer in self.layer:
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(layer.read, x, hidden, use_reentrant=False)
            else:
                x = layer.read(x, hidden)
        return x


class Bert(nn.Module):
    """BERT without a pooler.

    Args:
        vocab_size: Rows of the word table.
        width: C.
        layers: How many.
        heads: H.
        intermediate: Width of the feed-forward parts; 4 C by default.
        max_positions: Longest caption.
        dropout: Everywhere.
        with_cp: Whether activations are computed again going backward.
    """

    def __init__(
        self,
        vocab_size: int,
        width: int,
        layers: int,
        heads: int,
        intermediate: int | None,
        max_positions: int,
        dropout: float,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(
            vocab_size, width, max_positions, dropout
        )
        self.encoder = BertLayers(
            layers,
            with_cp,
            width=width,
            heads=heads,
            intermediate=intermediate,
            dropout=dropout,
        )

    def forward(self, ids: Tensor, masks: Tensor) -> Tensor:
        """Read ids (B, L): (B, L, C)."""
        return self.encoder(self.embeddings(ids), masks)


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

    def read(self, ids: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Read ids (B, L), such as some that were masked."""
        body = self.language_backbone['body']['model']
        device = body.embeddings.word_embeddings.weight.device
        ids, masks = ids.to(device), masks.bool().to(device)
        with torch.set_grad_enabled(
            torch.is_grad_enabled() and not self.frozen
        ):
            hidden = body(ids, masks)
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
