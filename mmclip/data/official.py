"""Check that an annotation file is the official one of COCO or LVIS v1.

A wrong file (the validation set as training set, LVIS v0.5, half a download)
trains and evaluates without a word, and the figures mean nothing.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mmclip.data.check import Finding, check_file, fault, shown
from mmclip.data.ov_classes import (
    COCO_BASE,
    COCO_NOVEL,
    COCO_REMOVED,
    FREQUENCY,
    LVIS_COUNTS,
    frequency_letter,
)
from mmclip.files import write_whole

PARTS = ('images', 'annotations', 'categories')
GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # ids that COCO never used
COCO_IDS = tuple(i for i in range(1, 91) if i not in GAPS)
SIZES = {  # images and annotations of the official files
    'coco': {'train': (118287, 860001), 'val': (5000, 36781)},
    'lvis': {'train': (100170, 1270141), 'val': (19809, 244707)},
}
LVIS_VERSIONS = {1230: 'LVIS v0.5', 80: 'COCO'}


class Group(NamedTuple):
    """Count what a file has of a group of classes."""

    classes: int
    boxes: int
    crowds: int
    images: int

    def __str__(self):
        return (
            f'{self.classes} classes, {self.boxes} boxes and {self.crowds} '
            f'crowds in {self.images} images'
        )


def read_annotations(path) -> dict:
    """Read an annotation file.

    Raises:
        ValueError: It is no JSON, cut short, or no COCO-format file.
    """
    text = Path(path).read_text(encoding='utf8')
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        begun = text.lstrip().startswith(('{', '['))
        what = 'is cut short or damaged' if begun else 'is no JSON'
        raise ValueError(
            f'{path} {what} ({error.msg}, byte {error.pos} of {len(text)}): '
            'download and unpack it again'
        ) from error
    lacks = [k for k in PARTS if k not in content] if content else PARTS
    if not isinstance(content, dict) or lacks:
        raise ValueError(
            f'{path} has no {", ".join(lacks)}: it is no annotation file of '
            'instances (captions, image infos and results are others)'
        )
    return content


def check_split(content: dict, dataset: str, split: str) -> list[Finding]:
    """Find out whether a file is the set that it is taken for.

    Args:
        content: The file.
        dataset: 'coco' or 'lvis'.
        split: 'train' or 'val'.
    """
    images, boxes = len(content['images']), len(content['annotations'])
    sizes = SIZES[dataset]
    other = {'train': 'val', 'val': 'train'}[split]
    folders = Counter(folder_of(i) for i in content['images'] if folder_of(i))
    strange = folders[f'{other}2017'] if dataset == 'coco' else 0
    if dataset == 'lvis' and split == 'train':
        strange = folders['val2017']  # LVIS's val has images of both
    if (images, boxes) == sizes[other] or 2 * strange > images:
        return [
            fault(
                f'this is the {other} set, not the {split} set ({images} '
                f'images, {boxes} annotations)',
                f'give the {split} file its place',
            )
        ]
    if (images, boxes) != sizes[split]:
        text = (
            f'{images} images and {boxes} annotations, where the official '
            f'{split} file has {sizes[split][0]} and {sizes[split][1]}: good '
            'for a trial, not for figures'
        )
        return [Finding(text, False)]
    return []


def folder_of(image: dict) -> str:
    """Return the folder in an image's URL, '' without one."""
    parts = image.get('coco_url', '').split('/')
    return parts[-2] if len(parts) > 1 else ''


def check_coco(content: dict, split: str) -> list[Finding]:
    """Find what makes a file another than COCO 2017's instances."""
    from mmdet.datasets import CocoDataset

    names = dict(zip(COCO_IDS, CocoDataset.METAINFO['classes']))
    found = {c['id']: c['name'] for c in content['categories']}
    if found != names:
        wrong = [f'{i} {n}' for i, n in found.items() if names.get(i) != n]
        lacks = [f'{i} {n}' for i, n in names.items() if i not in found]
        return [
            fault(
                f'{len(found)} categories are not the 80 of COCO: '
                f'{len(wrong)} others such as {shown(wrong)}, {len(lacks)} '
                f'absent such as {shown(lacks)}',
                f'take instances_{split}2017.json',
            )
        ]
    return [*check_split(content, 'coco', split), *check_file(content)]


def check_lvis(content: dict, split: str) -> list[Finding]:
    """Find what makes a file another than LVIS v1's."""
    categories = content['categories']
    ids = sorted(c['id'] for c in categories)
    if ids != list(range(1, 1204)):
        what = LVIS_VERSIONS.get(len(ids), 'no LVIS v1')
        return [
            fault(
                f'this is {what}: {len(ids)} categories, where LVIS v1 has '
                '1203 with ids 1 to 1203',
                f'take lvis_v1_{split}.json of lvisdataset.org',
            )
        ]
    return [
        *check_letters(categories),
        *check_federated(content['images'], split),
        *check_split(content, 'lvis', split),
        *check_file(content),
    ]


def check_letters(categories: Sequence[dict]) -> list[Finding]:
    """Find frequency letters that are absent or not those of LVIS v1."""
    letters = Counter(c.get('frequency') for c in categories)
    if dict(letters) != LVIS_COUNTS:
        return [
            fault(
                f'the frequency letters are {dict(letters)}, where LVIS v1 '
                f'has {LVIS_COUNTS}',
                'base and novel would be others; take the official file',
            )
        ]
    wrong = [
        c['name']
        for c in categories
        if 'image_count' in c
        and frequency_letter(c['image_count']) != c['frequency']
    ]
    if not wrong:
        return []
    text = (
        f'{len(wrong)} letters do not fit their image_count, such as '
        f'{shown(wrong)}: counts of another set?'
    )
    return [Finding(text, False)]


def check_federated(images: Sequence[dict], split: str) -> list[Finding]:
    """Find images that do not say which classes were looked for."""
    keys = ('neg_category_ids', 'not_exhaustive_category_ids')
    bare = [i['id'] for i in images if any(key not in i for key in keys)]
    if not bare:
        return []
    return [
        fault(
            f'{len(bare)} images lack {" or ".join(keys)}, such as id '
            f'{shown(bare)}',
            f'LVIS cannot be evaluated on them; take lvis_v1_{split}.json',
        )
    ]


def check_images(content: dict, folder) -> list[Finding]:
    """Find images that are not where the dataset will look for them.

    Args:
        content: The file.
        folder: What ``file_name``, or the end of the URL, is relative to.
    """
    present = {}
    absent = []
    for image in content['images']:
        path = Path(folder) / image_path(image)
        if path.parent not in present:
            is_there = path.parent.is_dir()
            listed = os.listdir(path.parent) if is_there else ()
            present[path.parent] = set(listed)
        if path.name not in present[path.parent]:
            absent.append(str(path))
    if not absent:
        return []
    return [
        fault(
            f'{len(absent)} of {len(content["images"])} images are missing, '
            f'such as {absent[0]}',
            'unpack train2017.zip and val2017.zip there',
        )
    ]


def image_path(image: dict) -> str:
    """Return an image's file; LVIS v1 has it in the URL alone."""
    name = image.get('file_name')
    return name or '/'.join(image['coco_url'].split('/')[-2:])


def groups_of_coco(content: dict) -> dict[str, set[int]]:
    """Return the ids of the 48 base, 17 novel and 15 removed classes."""
    ids = {c['name']: c['id'] for c in content['categories']}
    return {
        group: {ids[name] for name in names}
        for group, names in (
            ('base', COCO_BASE),
            ('novel', COCO_NOVEL),
            ('removed', COCO_REMOVED),
        )
    }


def groups_of_lvis(content: dict) -> dict[str, set[int]]:
    """Return the ids of base (frequent, common) and novel (rare) classes."""
    return {
        group: {
            c['id']
            for c in content['categories']
            if FREQUENCY[c['frequency']] == group
        }
        for group in ('base', 'novel')
    }


def count_groups(content: dict, groups: dict[str, set[int]]):
    """Return the :class:`Group` of each group of category ids."""
    counts = {}
    for group, ids in groups.items():
        own = [a for a in content['annotations'] if a['category_id'] in ids]
        crowds = sum(bool(a.get('iscrowd')) for a in own)
        images = {a['image_id'] for a in own}
        counts[group] = Group(len(ids), len(own) - crowds, crowds, len(images))
    return counts


def write_base(content: dict, ids: Iterable[int], path) -> int:
    """Write the file without the annotations of other classes, or nothing.

    Images and categories stay, so that no id changes.

    Returns:
        How many annotations were written.
    """
    ids, path = set(ids), Path(path)
    kept = [a for a in content['annotations'] if a['category_id'] in ids]
    text = json.dumps({**content, 'annotations': kept})
    write_whole(path, lambda partial: partial.write_text(text))
    return len(kept)
