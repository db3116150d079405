"""Encode a large batch in chunks that hold one chunk's activations only.

The contrastive loss needs the features of the whole batch at once, so chunks
cannot each have a loss. Instead the first pass keeps the features alone and
the second runs each chunk again, in the backward pass, once the gradient of
its features is known (gradient caching: Gao et al., 2021).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def encode_in_chunks(
    encode: Callable[..., Tensor],
    chunk_size: int | None,
    rows: Tensor,
    *others,
) -> Tensor:
    """Encode rows, ``chunk_size`` at a time.

    Random numbers and autocast are the same in both passes. What ``encode``
    does must not depend on which rows share a chunk (no BatchNorm) and it
    runs twice in training.

    Args:
        encode: Turns a chunk of ``rows`` and of ``others`` into features.
        chunk_size: Rows in a chunk; ``None`` encodes all at once and keeps
            all activations.
        rows: Input rows.
        others: Tensors with as many rows, lists of such, or ``None``.

    Returns:
        The features of all rows.

    Raises:
        ValueError: ``chunk_size`` is less than one.
    """
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(
            f'chunk_size={chunk_size}: give at least one row, or None to '
            'encode the batch at once'
        )
    if chunk_size is None or len(rows) <= chunk_size:
        return encode(rows, *others)
    parts = []
    for start in range(0, len(rows), chunk_size):
        chunk = slice(start, start + chunk_size)
        inputs = [cut(x, chunk) for x in (rows, *others)]
        parts.append(
            checkpoint(encode, *inputs, use_reentrant=False)
            if torch.is_grad_enabled()
            else encode(*inputs)
        )
    return torch.cat(parts)


def cut(rows, chunk: slice):
    """Take a chunk of a tensor, of each tensor in a list, or of nothing."""
    if rows is None:
        return None
    return [r[chunk] for r in rows] if isinstance(rows, list) else rows[chunk]
