"""Name boxes whose place is known: how well does a head tell names apart?

Average precision mixes finding with naming and hides what a few novel boxes
could tell; here the true boxes are given and only the name is asked for.

R boxes, K names.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mmclip.vild.score_fusion import Regions


@torch.no_grad()
def box_logits(model, inputs: Tensor, boxes: list[Tensor]) -> Tensor:
    """Score boxes of a batch against every name, the background left out.

    A head with two sources of scores is asked for what it detects with.

    Args:
        model: A two-stage detector of mmdet with a text classifier.
        inputs: Normalised images (B, 3, H, W).
        boxes: For each image its boxes (R_i, 4), xyxy pixels of ``inputs``.

    Returns:
        Logits (R, K), image by image; fused scores where there are two
        sources.
    """
    rois = torch.cat(
        [
            torch.cat([one.new_full((len(one), 1), i), one], dim=1)
            for i, one in enumerate(boxes)
        ]
    )  # (R, 5): image, xyxy
    head = model.roi_head
    names = len(head.vocabulary)
    if not len(rois):
        return inputs.new_zeros(0, names)
    features = model.extract_feat(inputs)
    found = head._bbox_forward(features, rois)
    logits = found['cls_score']  # (R, K + 1)
    metas = [dict(img_shape=tuple(inputs.shape[-2:]))] * len(boxes)
    other = head.second_scores(
        Regions(
            rois,
            found['bbox_feats'],
            features,
            metas,
            head.vocabulary.embeddings,
        )
    )
    if other is None:
        return logits[:, :names]
    text = logits.softmax(dim=1)[:, :names]
    return head.score_fusion(text, other, head.novel)


def dataset_logits(model, dataset) -> tuple[Tensor, Tensor]:
    """Score the true boxes of a dataset; crowds are left out.

    The test pipeline may resize images but neither crop nor flip them.

    Args:
        model: As in :func:`box_logits`, in eval mode.
        dataset: One of mmdet's, with annotations and its test pipeline.

    Returns:
        Logits (R, K) and labels (R,), on the CPU.

    Raises:
        ValueError: No image has a box.
    """
    parts = list(image_logits(model, dataset))
    if not any(len(labels) for _, labels in parts):
        raise ValueError(
            f'none of the {len(dataset)} images has a box of the classes '
            'wanted: check ann_file, base_classes and novel_classes'
        )
    logits, labels = zip(*parts)
    return torch.cat(logits).cpu(), torch.cat(labels)


def image_logits(model, dataset) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each image's logits (R, K) and labels (R,)."""
    for index in range(len(dataset)):
        item = dataset[index]
        sample = item['data_samples']
        known = [
            box
            for box in dataset.get_data_info(index)['instances']
            if not box['ignore_flag']
        ]
        batch = model.data_preprocessor(
            dict(inputs=[item['inputs']], data_samples=[sample])
        )
        zoom = np.tile(sample.get('scale_factor', (1.0, 1.0)), 2)
        boxes = batch['inputs'].new_tensor(
            np.array([box['bbox'] for box in known]).reshape(-1, 4) * zoom
        )  # (R, 4)
        yield (
            box_logits(model, batch['inputs'], [boxes]),
            torch.tensor([box['bbox_label'] for box in known]).long(),
        )


def hits_among(logits: Tensor, labels: Tensor, names: Tensor) -> Tensor:
    """Tell which boxes get their own name when only some names compete.

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
    """Measure top-1 of base and novel boxes, apart and among all names.

    Args:
        logits: (R, K).
        labels: (R,).
        base: Labels with boxes in training.
        novel: Labels without.
        shuffles: As in :func:`shuffled_hits`; novel embeddings are shuffled.
        seed: As there.

    Returns:
        One dict a question: ``boxes`` and ``among`` (groups of names),
        ``count`` of boxes, ``chance`` (1 / names), ``commonest`` (what always
        answering the boxes' most frequent name would get), ``top1``,
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
                boxes=asked,
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


def table(rows: list[dict]) -> str:
    """Write what :func:`measure` returns as lines of text."""
    lines = [
        f'{"boxes":<7}{"among":<7}{"boxes":>6}{"chance":>8}{"commonest":>11}'
        f'{"top-1":>7}{"class mean":>12}   novel embeddings shuffled'
    ]
    for row in rows:
        mixed = row['shuffled']
        lines.append(
            f'{row["boxes"]:<7}{row["among"]:<7}{row["count"]:>6}'
            f'{row["chance"]:>8.3f}{row["commonest"]:>11.3f}'
            f'{row["top1"]:>7.3f}{row["class_mean"]:>12.3f}   '
            f'{sum(mixed) / len(mixed):.3f} '
            f'({min(mixed):.3f} to {max(mixed):.3f})'
        )
    return '\n'.join(lines)
