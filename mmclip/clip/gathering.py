"""Bring features of all ranks together without losing their gradients.

W ranks, B rows on this rank.

Every rank puts the loss of its own rows on the table and DDP averages the
ranks' gradients. So a backward pass here sums what all ranks ask of a row:
then the average is the gradient of the mean loss.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Return W; 1 where nothing is distributed."""
    ready = dist.is_available() and dist.is_initialized()
    return dist.get_world_size() if ready else 1


class GatherRows(torch.autograd.Function):
    """Concatenate rows over ranks; see :func:`gather_rows`."""

    @staticmethod
    def forward(ctx, rows: Tensor, counts: list[int]) -> Tensor:
        """Return the rows of all ranks."""
        ctx.start = sum(counts[: dist.get_rank()])
        ctx.count = len(rows)
        longest = max(1, *counts)  # gloo wants a row, though nobody has one
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([p[:count] for p, count in zip(parts, counts)])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        """Return what all ranks' losses ask of this rank's rows."""
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad[ctx.start : ctx.start + ctx.count], None


def row_counts(rows: Tensor) -> list[int]:
    """Return how many rows each rank has."""
    own = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(counts, own)
    return torch.cat(counts).tolist()


def gather_rows(*tensors: Tensor) -> tuple[list[Tensor], int]:
    """Concatenate the rows of all ranks, with gradients.

    Args:
        tensors: Each has the B rows of this rank; B may differ over ranks.

    Returns:
        For each tensor the rows of all ranks, rank 0 first, and where the
        own rows begin.
    """
    if world_size() == 1:
        return list(tensors), 0
    counts = row_counts(tensors[0])
    gathered = [GatherRows.apply(rows, counts) for rows in tensors]
    return gathered, sum(counts[: dist.get_rank()])


class SumOverRanks(torch.autograd.Function):
    """Add a tensor up over ranks, in both directions."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """Return the sum."""
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        """Return the sum of the gradients."""
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad
