"""BERT's layers in plain torch.

Parameter names are those of the published checkpoints (Devlin et al., 2019;
the layout of Hugging Face's ``BertModel``), so they load as they are.

B captions, L tokens, C width, H heads. Masks are bool (B, L).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmclip.glip.attention import (
    LIMIT,
    MASKED,
    added_mask,
    heads_of,
    merge_heads,
)

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


def later_words(length: int, like: Tensor) -> Tensor:
    """Return what keeps words from reading those behind them, (L, L)."""
    low = max(MASKED, torch.finfo(like.dtype).min)
    return like.new_full((length, length), low).triu(1)


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

    def forward(
        self, x: Tensor, masks: Tensor, causal: bool = False
    ) -> Tensor:
        """Return the last layer's words (B, L, C)."""
        # padding stands behind a caption, so what is causal hides it too
        hidden = (
            later_words(x.shape[1], x)
            if causal
            else hidden_words(masks, x.dtype)
        )
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

    def forward(
        self, ids: Tensor, masks: Tensor, causal: bool = False
    ) -> Tensor:
        """Read ids (B, L): (B, L, C); causal words read none behind them."""
        return self.encoder(self.embeddings(ids), masks, causal)
