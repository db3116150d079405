"""Find what in a COCO or LVIS annotation file would spoil a run.

mmdet drops many a faulty box without a word, so the file is asked.

Convention: a box is x, y, width, height in pixels of the original image, whose
origin is its upper left corner. N boxes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

MANY = 0.01  # share of boxes: COCO's own files have a few odd ones
SLACK = 1.0  # pixels that a rounded box may reach beyond its image


class Finding(NamedTuple):
    """Say in a line what was found and what to do; does it spoil a run?"""

    text: str
    spoils: bool


def fault(what: str, fix: str) -> Finding:
    """Return a finding that spoils a run."""
    return Finding(f'{what}: {fix}', True)


def shown(values: Sequence, count: int = 3) -> str:
    """Write the first of some values."""
    return ', '.join(map(repr, values[:count]))


def check_file(content: dict) -> list[Finding]:
    """Find the faults of a COCO or LVIS annotation file.

    Args:
        content: Its ``images``, ``annotations`` and ``categories``.
    """
    images, boxes = content['images'], content['annotations']
    categories = content.get('categories', [])
    return [
        *repeated_ids(images, 'images'),
        *repeated_ids(boxes, 'annotations'),
        *repeated_ids(categories, 'categories'),
        *dangling(boxes, 'category_id', categories, 'class'),
        *dangling(boxes, 'image_id', images, 'image'),
        *bad_boxes(images, boxes),
    ]


def repeated_ids(records: Sequence[dict], what: str) -> list[Finding]:
    """Find ids that several records share: one hides the others."""
    counts = Counter(record.get('id') for record in records)
    repeated = [key for key, count in counts.items() if count > 1]
    if not repeated:
        return []
    return [
        fault(
            f'{len(repeated)} ids of {what} stand there more than once, '
            f'such as {shown(repeated)}',
            'give each its own',
        )
    ]


def dangling(
    boxes: Sequence[dict], key: str, records: Sequence[dict], what: str
) -> list[Finding]:
    """Find annotations whose ``key`` names no record of the file."""
    known = {record.get('id') for record in records}
    lost = [box for box in boxes if box.get(key) not in known]
    if not lost:
        return []
    keys = dict.fromkeys(box.get(key) for box in lost)
    return [
        fault(
            f'{len(lost)} annotations have no {what}: the file lists no '
            f'{key} {shown(list(keys))}',
            f'add the {what} or leave them out',
        )
    ]


def bad_boxes(images: Sequence[dict], boxes: Sequence[dict]) -> list[Finding]:
    """Find boxes without a size and boxes that leave their image.

    They spoil a run where they are many; a few are named, no more.
    """
    sides = {
        i.get('id'): (i.get('width', np.inf), i.get('height', np.inf))
        for i in images
    }
    kept = [b for b in boxes if 'bbox' in b and b.get('image_id') in sides]
    if not kept:
        return []
    xywh = np.array([b['bbox'] for b in kept], float)  # (N, 4)
    limits = np.array([sides[b['image_id']] for b in kept], float)  # (N, 2)
    empty = (xywh[:, 2:] <= 0).any(axis=1)  # (N,)
    ends = xywh[:, :2] + xywh[:, 2:]
    beyond = (xywh[:, :2] < -SLACK) | (ends > limits + SLACK)
    found = (
        (empty, 'have no width or height', 'mmdet leaves them out'),
        (
            beyond.any(axis=1),
            'reach beyond their image',
            'a box is x, y, width, height; are these corners, or of an '
            'image of another size?',
        ),
    )
    return [
        Finding(
            f'{rows.sum()} of {len(kept)} boxes {what}, such as annotation '
            f'{shown([kept[i].get("id") for i in rows.nonzero()[0][:3]])}: '
            f'{fix}',
            bool(rows.mean() > MANY),
        )
        for rows, what, fix in found
        if rows.any()
    ]


def ungrouped(content: dict, known: Iterable[str]) -> list[Finding]:
    """Name the categories of a file whose boxes nobody reads.

    Args:
        content: The file, as in :func:`check_file`.
        known: The names of all classes and groups of the dataset.
    """
    known = set(known)
    names = {
        c['id']: c['name']
        for c in content.get('categories', [])
        if c['name'] not in known
    }
    if not names:
        return []
    lost = sum(b.get('category_id') in names for b in content['annotations'])
    return [
        Finding(
            f'{len(names)} categories of the file are in no group, such as '
            f'{shown(list(names.values()))}: their {lost} boxes are not read',
            False,
        )
    ]


def swapped_labels(
    classes: Sequence[str], read_as: Sequence[str]
) -> list[Finding]:
    """Find labels that stand for another class than their position says.

    Args:
        classes: The dataset's classes; a label is a position in it.
        read_as: For each label, the name of the file's category. mmdet's
            CocoDataset takes them in the order of the file.
    """
    position = {name: i for i, name in enumerate(classes)}
    wrong = [
        f"'{name}' as '{classes[i]}'"
        for i, name in enumerate(read_as)
        if position.get(name, i) != i
    ]
    if not wrong:
        return []
    return [
        fault(
            f'{len(wrong)} classes are read under another name: '
            f'{", ".join(wrong[:3])}',
            'write metainfo.classes in the order of the file, or take '
            'mmclip.OVCocoDataset',
        )
    ]
