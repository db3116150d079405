"""Find likely sentences when each word follows from those before.

B sentences, K beams of each, T words so far, V ids.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def beam_search(
    step: Callable[[Tensor], Tensor],
    count: int,
    *,
    start: int,
    end: int,
    max_length: int,
    beam_size: int = 1,
    length_penalty: float = 0.0,
    never: Sequence[int] = (),
    device: torch.device | str = 'cpu',
) -> tuple[list[list[int]], list[float]]:
    """Find a likely sentence for each of B images; one beam is greedy.

    Args:
        step: Takes ids (B * K, T), returns the logits of the next (B * K, V).
        count: B.
        start: Id before a sentence.
        end: Id behind it.
        max_length: Most ids, start and end left out; a sentence that does not
            end by then is cut.
        beam_size: K.
        length_penalty: The log-probability is divided by the length to this
            power when beams are compared at last; 0 compares as they are.
        never: Ids that no sentence may hold.
        device: Where ids lie.

    Returns:
        Ids of each sentence without start and end, and its log-probability.

    Raises:
        ValueError: ``beam_size`` or ``max_length`` is below 1.
    """
    if beam_size < 1 or max_length < 1:
        raise ValueError(
            f'got beam_size={beam_size} and max_length={max_length}: '
            'expected 1 or more of both'
        )
    ids = torch.full((count, beam_size, 1), start, device=device)
    total = torch.full((count, beam_size), -torch.inf, device=device)
    total[:, 0] = 0  # all beams are alike at first: one of them counts
    ended = torch.zeros(count, beam_size, dtype=torch.bool, device=device)
    for _ in range(max_length):
        if ended.all():
            break
        logits = step(ids.flatten(0, 1)).float().unflatten(0, ids.shape[:2])
        logits[..., list(never)] = -torch.inf
        ids, total, ended = extend(
            ids, total, ended, logits.log_softmax(dim=-1), end
        )
    lengths = (ids[..., 1:] != end).sum(dim=-1) + ended  # the end counts
    best = (total / lengths.clamp(min=1) ** length_penalty).argmax(dim=1)
    rows = torch.arange(count, device=device)
    chosen = ids[rows, best, 1:].tolist()
    sentences = [
        own[: own.index(end)] if end in own else own for own in chosen
    ]
    return sentences, total[rows, best].tolist()


def extend(
    ids: Tensor, total: Tensor, ended: Tensor, scores: Tensor, end: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Put a word behind each beam, and keep the best.

    Args:
        ids: (B, K, T).
        total: Log-probability of each beam (B, K).
        ended: Which beams are complete (B, K); they stay as they are.
        scores: Log-probability of each next id (B, K, V).
        end: Id that ends a beam.

    Returns:
        The same three, one word longer.
    """
    stay = torch.full_like(scores[0, 0], -torch.inf)
    stay[end] = 0
    scores = torch.where(ended[..., None], stay, scores)
    every = (total[..., None] + scores).flatten(1)  # (B, K * V)
    total, best = every.topk(ids.shape[1], dim=1)
    beam, word = best // scores.shape[2], best % scores.shape[2]
    ids = ids.gather(1, beam[..., None].expand_as(ids))
    ids = torch.cat((ids, word[..., None]), dim=2)
    return ids, total, ended.gather(1, beam) | (word == end)
