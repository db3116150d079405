"""Count how often regions whose place is known get their own name.

R regions (boxes or masks), K names.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def hits_among(logits: Tensor, labels: Tensor, names: Tensor) -> Tensor:
    """Tell which regions get their own name when only some names compete.

    Args:
        logits: (R, K).
        labels: (R,), each one of ``names``.
        names: Columns that compete.

    Returns:
        Bool (R,).
    """
    return names[logits[:, names].argmax(dim=1)] == labels


def mean_of_classes(hits: Tensor, labels: Tensor) -> float:
    """Average ``hits`` in every class, then over the classes present."""
    means = [hits[labels == k].float().mean() for k in labels.unique()]
    return float(torch.stack(means).mean())


def derangement(count: int, generator: torch.Generator) -> Tensor:
    """Draw a permutation that leaves nothing in its place.

    Raises:
        ValueError: ``count`` is below 2.
    """
    if count < 2:
        raise ValueError(f'{count} names cannot be shuffled: give two or more')
    while True:  # a share of 1/e of all permutations has no fixed point
        order = torch.randperm(count, generator=generator)
        if (order != torch.arange(count)).all():
            return order


def shuffled_hits(
    logits: Tensor,
    labels: Tensor,
    names: Tensor,
    moved: Tensor,
    shuffles: int = 20,
    seed: int = 0,
) -> list[float]:
    """Repeat :func:`hits_among` with embeddings given to other names.

    A head whose answers follow the text falls to chance or below. One that
    always says the same does too, so compare ``commonest`` as well.

    Args:
        logits: (R, K).
        labels: (R,).
        names: Columns that compete.
        moved: Columns that exchange their embeddings; none stays in place.
        shuffles: How many times.
        seed: Of the permutations.

    Returns:
        The share of hits after each shuffle.
    """
    generator = torch.Generator().manual_seed(seed)
    shares = []
    for _ in range(shuffles):
        mixed = logits.clone()
        order = derangement(len(moved), generator)
        mixed[:, moved] = logits[:, moved[order]]
        shares.append(float(hits_among(mixed, labels, names).float().mean()))
    return shares


def measure(
    logits: Tensor,
    labels: Tensor,
    base: Sequence[int],
    novel: Sequence[int],
    shuffles: int = 20,
    seed: int = 0,
) -> list[dict]:
    """Measure top-1 of base and novel regions, apart and among all names.

    Args:
        logits: (R, K).
        labels: (R,).
        base: Labels with annotations in training.
        novel: Labels without.
        shuffles: As in :func:`shuffled_hits`; novel embeddings are shuffled.
        seed: As there.

    Returns:
        One dict a question: ``asked`` and ``among`` (groups of names),
        ``count`` of regions, ``chance`` (1 / names), ``commonest`` (what
        always answering the regions' most frequent name would get), ``top1``,
        ``class_mean`` and ``shuffled`` (a list).
    """
    groups = dict(base=torch.tensor(base), novel=torch.tensor(novel))
    groups['all'] = torch.cat([groups['base'], groups['novel']])
    questions = (
        ('base', 'base'),
        ('novel', 'novel'),
        ('base', 'all'),
        ('novel', 'all'),
    )
    rows = []
    for asked, among in questions:
        kept = torch.isin(labels, groups[asked])
        if not kept.any():
            continue
        own, names = labels[kept], groups[among]
        hits = hits_among(logits[kept], own, names)
        rows.append(
            dict(
                asked=asked,
                among=among,
                count=len(own),
                chance=1 / len(names),
                commonest=float(own.bincount().max()) / len(own),
                top1=float(hits.float().mean()),
                class_mean=mean_of_classes(hits, own),
                shuffled=shuffled_hits(
                    logits[kept], own, names, groups['novel'], shuffles, seed
                ),
            )
        )
    return rows


def table(rows: list[dict], regions: str = 'boxes') -> str:
    """Write what :func:`measure` returns as lines of text.

    Args:
        rows: Of :func:`measure`.
        regions: What was named, at most six letters.
    """
    lines = [
        f'{regions:<7}{"among":<7}{"count":>6}{"chance":>8}{"commonest":>11}'
        f'{"top-1":>7}{"class mean":>12}   novel embeddings shuffled'
    ]
    for row in rows:
        mixed = row['shuffled']
        lines.append(
            f'{row["asked"]:<7}{row["among"]:<7}{row["count"]:>6}'
            f'{row["chance"]:>8.3f}{row["commonest"]:>11.3f}'
            f'{row["top1"]:>7.3f}{row["class_mean"]:>12.3f}   '
            f'{sum(mixed) / len(mixed):.3f} '
            f'({min(mixed):.3f} to {max(mixed):.3f})'
        )
    return '\n'.join(lines)
