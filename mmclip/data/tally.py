"""Count what a dataset gives to its pipeline, and find what is wrong in it.

Convention: a box is x1, y1, x2, y2 in pixels of the original image, whose
origin is its upper left corner. N boxes of an image.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmclip.data.check import Finding, fault, shown

HIDDEN = ('novel', 'unseen')  # groups that no training may label


@dataclass
class Tally:
    """Count what a dataset gives to its pipeline.

    Attributes:
        boxes: Number of boxes of each image that has annotations.
        labels: Boxes of each label; ignored ones are not counted.
        empty: Boxes without width or height.
        outside: Boxes wholly outside their image.
        absent: Image files that do not exist.
        images: Images seen.
    """

    boxes: list[int] = field(default_factory=list)
    labels: Counter = field(default_factory=Counter)
    empty: int = 0
    outside: int = 0
    absent: list[str] = field(default_factory=list)
    images: int = 0

    def add(self, info: dict) -> None:
        """Count one image's data info, as ``get_data_info`` gives it."""
        self.images += 1
        path = info.get('img_path')
        in_memory = 'img' in info or path is None or '://' in path
        if not in_memory and not os.path.exists(path):
            self.absent.append(path)
        if 'instances' in info:
            self._add_boxes(info)

    def _add_boxes(self, info: dict) -> None:
        kept = [i for i in info['instances'] if not i.get('ignore_flag')]
        self.boxes.append(len(kept))
        self.labels.update(i['bbox_label'] for i in kept)
        if not kept:
            return
        xyxy = np.array([i['bbox'] for i in kept], float)  # (N, 4)
        side = np.array(
            [info.get('width', np.inf), info.get('height', np.inf)]
        )
        none = (xyxy[:, 2:] <= xyxy[:, :2]).any(axis=1)
        off = (xyxy[:, 2:] <= 0) | (xyxy[:, :2] >= side)  # (N, 2)
        self.empty += int(none.sum())
        self.outside += int((off.any(axis=1) & ~none).sum())


def check_tally(tally: Tally, classes: Sequence[str]) -> list[Finding]:
    """Find what in a dataset's images, boxes and labels is wrong."""
    found = []
    if tally.absent:
        found.append(
            fault(
                f'{len(tally.absent)} of {tally.images} image files are '
                f'missing, such as {", ".join(tally.absent[:3])}',
                'check data_root and data_prefix',
            )
        )
    beyond = [k for k in tally.labels if not 0 <= k < len(classes)]
    if beyond:
        found.append(
            fault(
                f'labels {shown(sorted(beyond))} are beyond the '
                f'{len(classes)} classes',
                'name the classes in metainfo',
            )
        )
    for count, what in (
        (tally.empty, 'have no width or height'),
        (tally.outside, 'lie outside their image'),
    ):
        if count:
            found.append(fault(f'{count} boxes {what}', 'leave them out'))
    return found + check_counts(tally, classes)


def check_counts(tally: Tally, classes: Sequence[str]) -> list[Finding]:
    """Name images without boxes and classes without boxes."""
    if not tally.boxes:
        return []
    if not any(tally.boxes):
        fix = 'do its classes have the names of the file?'
        return [fault('there is not one box', fix)]
    found = []
    if bare := tally.boxes.count(0):
        share = 100 * bare / len(tally.boxes)
        text = f'{bare} images ({share:.1f} %) have no box'
        found.append(Finding(text, False))
    unseen = [n for k, n in enumerate(classes) if not tally.labels[k]]
    if unseen:
        text = f'{len(unseen)} classes have no box, such as {shown(unseen)}'
        found.append(Finding(text, False))
    return found


def check_leak(
    labels: Counter, classes: Sequence[str], hidden: Iterable[str]
) -> list[Finding]:
    """Find classes of the training set that it must not have labels of.

    Args:
        labels: Boxes of each label of the training set.
        classes: Its classes.
        hidden: Names of the novel and unseen classes.
    """
    hidden = set(hidden)
    leaked = {
        name: labels[k]
        for k, name in enumerate(classes)
        if labels[k] and name in hidden
    }
    if not leaked:
        return []
    return [
        fault(
            f'leak: the training set labels {len(leaked)} novel or unseen '
            f'classes in {sum(leaked.values())} boxes, such as '
            f'{shown(list(leaked))}',
            "train on the base classes alone, classes_of=('base', )",
        )
    ]


def groups_of(metainfo: dict) -> dict[str, tuple[str, ...]]:
    """Return the names of each ``<group>_classes`` of a metainfo."""
    return {
        key.removesuffix('_classes'): tuple(names)
        for key, names in metainfo.items()
        if key.endswith('_classes')
    }


def describe_groups(labels: Counter, metainfo: dict) -> str:
    """Say how many classes and boxes each group has."""
    classes = metainfo.get('classes') or ()
    groups = groups_of(metainfo)
    named = set().union(*groups.values())
    groups['other'] = tuple(n for n in classes if n not in named)
    position = {name: k for k, name in enumerate(classes)}
    parts = []
    for group, names in groups.items():
        counts = [labels[position[n]] for n in names if n in position]
        if names:
            seen = sum(c > 0 for c in counts)
            parts.append(
                f'{group} {seen} of {len(names)} classes, {sum(counts)} boxes'
            )
    return '; '.join(parts) or 'no classes are named'


def describe_extremes(
    labels: Counter, classes: Sequence[str], count: int = 3
) -> str:
    """Name the classes with the most and the fewest boxes above none."""
    known = [(k, n) for k, n in labels.most_common() if 0 <= k < len(classes)]
    most, fewest = (
        ', '.join(f'{classes[k]} {n}' for k, n in some)
        for some in (known[:count], known[::-1][:count])
    )
    return f'most boxes: {most}; fewest: {fewest}'
