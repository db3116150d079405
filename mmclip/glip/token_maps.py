"""Say which tokens of a caption stand for which of its spans.

R rows: spans of a caption, L tokens, N boxes.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmclip.glip.tokenizer import Encoding, SpanTokenizer

if TYPE_CHECKING:
    from mmclip.glip.grounding import Grounding

Spans = list[list[int]]


def token_map(
    encoding: Encoding, spans: Sequence[Spans], length: int | None = None
) -> Tensor:
    """Return which tokens stand for each row.

    Where the first (last) character of a span belongs to no token, one of
    the next (previous) two may stand in, else the span is dropped, as
    published (``create_positive_map``). A row may stay empty: its words were
    cut off, or are white space.

    Args:
        encoding: The caption's tokens.
        spans: Spans of R rows.
        length: L; the number of tokens by default.

    Returns:
        bool (R, L).
    """
    length = length or len(encoding.ids)
    found = torch.zeros(len(spans), length, dtype=torch.bool)  # (R, L)
    firsts, lasts = encoding.by_character(), encoding.by_character(last=True)
    for row, own in zip(found, spans):
        for start, stop in own:
            first = nearest(firsts, range(start, start + 3))
            last = nearest(lasts, range(stop - 1, stop - 4, -1))
            if first is not None and last is not None:
                row[first : last + 1] = True
    return found


def nearest(tokens: dict[int, int], characters: Iterable[int]) -> int | None:
    """Return the token of the first character that has one."""
    return next((tokens[c] for c in characters if c in tokens), None)


def positive_map(
    grounding: 'Grounding',
    tokenizer: SpanTokenizer,
    labels: Sequence[int] | Tensor,
    length: int | None = None,
) -> Tensor:
    """Return the tokens of each of N boxes, bool (N, L).

    Args:
        grounding: The image's caption.
        tokenizer: The language model's.
        labels: Label of each box; a label of several rows has all their
            tokens.
        length: L; that of the encoded caption by default.

    Raises:
        IndexError: A box has a label that the caption does not name.
    """
    rows = grounding.token_map(tokenizer, length)  # (R, L)
    owners = torch.tensor(grounding.labels, dtype=torch.long)
    wanted = torch.as_tensor(labels, dtype=torch.long).cpu().reshape(-1)
    count = len(grounding.names)
    wrong = wanted[(wanted < 0) | (wanted >= count)].tolist()
    if wrong:
        raise IndexError(
            f'a box has label {wrong[0]} but its caption names {count}: '
            f'{grounding.caption[:60]!r}; check tokens_positive and labels'
        )
    same = wanted[:, None] == owners  # (N, R)
    return (same.float() @ rows.float()) > 0  # (N, L)


def label_of_token(token_rows: Tensor, labels: Sequence[int]) -> Tensor:
    """Return the label that each token names, -1 for none.

    Args:
        token_rows: bool (R, L), from :func:`token_map`.
        labels: Label, or class of the data set, of each row.

    Returns:
        int64 (L,); of overlapping rows the last one's.
    """
    found = token_rows.new_full(token_rows.shape[1:], -1, dtype=torch.long)
    for row, label in zip(token_rows, labels):
        found[row] = label
    return found
