"""Turn sentences into the token ids of a CLIP text tower.

N sentences, L positions (the tower's context length, usually 77).
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


class CLIPTokenizer:
    """Encode sentences with CLIP's byte pairs, zero-padded to the context.

    Args:
        bpe: An open_clip ``SimpleTokenizer``; ``None`` takes CLIP's own.
        context_length: Positions of the text tower, start and end included.
        truncate: Whether a sentence that does not fit is cut, its last
            position becoming the end token, instead of refused.
    """

    def __init__(
        self, bpe=None, *, context_length: int = 77, truncate: bool = False
    ) -> None:
        self.bpe = bpe or clip_bpe()
        self.context_length = context_length
        self.truncate = truncate

    def __call__(self, sentences: str | Sequence[str]) -> Tensor:
        """Return the ids of ``sentences``.

        Args:
            sentences: One sentence or N of them.

        Returns:
            Ids, int64 (N, context_length).

        Raises:
            ValueError: A sentence is longer than the context and
                ``truncate`` is off.
        """
        if isinstance(sentences, str):
            sentences = [sentences]
        ids = torch.zeros(
            len(sentences), self.context_length, dtype=torch.long
        )  # (N, L)
        for row, sentence in zip(ids, sentences):
            tokens = self.encode(sentence)
            row[: len(tokens)] = torch.tensor(tokens)
        return ids

    def encode(self, sentence: str) -> list[int]:
        """Return the ids of one sentence, start and end token included."""
        start, end = self.bpe.all_special_ids[:2]
        tokens = [start, *self.bpe.encode(sentence), end]
        if len(tokens) <= self.context_length:
            return tokens
        if not self.truncate:
            raise ValueError(
                f'a sentence has {len(tokens)} tokens but the text tower '
                f'reads {self.context_length}: {sentence[:60]!r}...; shorten '
                'it or pass truncate=True'
            )
        return [*tokens[: self.context_length - 1], end]


@lru_cache(1)
def clip_bpe():
    """Return CLIP's byte-pair table as packaged with open_clip."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def cut_to_longest(ids: Tensor) -> Tensor:
    """Drop the positions that are padding in every sentence.

    Only a causal tower that pools at the end token gives the same embeddings
    for the shorter ids: nothing it reads comes after that token.

    Args:
        ids: Token ids padded with 0, (N, L).

    Returns:
        The first columns of ``ids``, (N, longest).
    """
    used = (ids != 0).any(dim=0).nonzero()
    longest = int(used[-1]) + 1 if len(used) else 1
    return ids[:, :longest]
