"""Turn what words say about regions into scores of labels.

N regions, L tokens, R rows (ways to say a label), K labels.
"""

import torch
from torch import Tensor

AGGREGATIONS = ('mean', 'max', 'power')


def row_scores(
    probabilities: Tensor, rows: Tensor, score_agg: str = 'mean'
) -> Tensor:
    """Join the probabilities of each row's tokens.

    Args:
        probabilities: Of each token (N, L).
        rows: bool (R, L); columns beyond L are tokens that were cut off.
        score_agg: ``'mean'`` (published), ``'max'``, or ``'power'``, the
            geometric mean.

    Returns:
        (N, R); a row without tokens has 0.
    """
    rows = rows.to(probabilities.device)[:, : probabilities.shape[1]]
    weights = rows.to(probabilities.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
    if score_agg == 'mean':
        return probabilities[:, : rows.shape[1]] @ weights.t()
    used = probabilities[:, : rows.shape[1]]
    if score_agg == 'power':
        tiny = torch.finfo(used.dtype).tiny
        logs = used.clamp(min=tiny).log() @ weights.t()
        return logs.exp() * rows.any(dim=1)
    if score_agg == 'max':
        found = [
            used[:, row].amax(dim=1)
            if row.any()
            else used.new_zeros(len(used))
            for row in rows
        ]
        return (
            torch.stack(found, dim=1)
            if found
            else used.new_zeros(len(used), 0)
        )
    raise ValueError(
        f"score_agg='{score_agg}': expected one of {', '.join(AGGREGATIONS)}"
    )


def label_scores(
    probabilities: Tensor,
    rows: Tensor,
    labels: Tensor,
    score_agg: str = 'mean',
) -> Tensor:
    """Score labels; one of several rows has the score of its best.

    Args:
        probabilities: See :func:`row_scores`.
        rows: Likewise.
        labels: Of each row its label as a column 0 ... K-1, (R,).
        score_agg: See :func:`row_scores`.

    Returns:
        (N, K).
    """
    scores = row_scores(probabilities, rows, score_agg)  # (N, R)
    count = int(labels.max()) + 1 if len(labels) else 0
    if count == len(labels) and bool((labels.diff() == 1).all()):
        return scores
    found = scores.new_zeros(len(scores), count)
    places = labels.to(scores.device).expand_as(scores)
    return found.scatter_reduce(1, places, scores, 'amax')
