"""Check official files of COCO and LVIS v1; say what base and novel have.

What ``tools/prepare/coco_ov.py`` and ``lvis_ov.py`` run.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from mmclip.data.official import (
    check_coco,
    check_images,
    check_lvis,
    count_groups,
    groups_of_coco,
    groups_of_lvis,
    read_annotations,
    write_base,
)


class Source(NamedTuple):
    """Say where a dataset's files are and how they are checked.

    Attributes:
        annotations: The annotation file of a split.
        images: What its image paths are relative to.
        check: From the file and the split to findings.
        groups: From the file to the category ids of each group.
        dataset: Config of our dataset that trains on base classes.
    """

    annotations: str
    images: str
    check: Callable
    groups: Callable
    dataset: dict


SOURCES = {
    'coco': Source(
        'annotations/instances_{split}2017.json',
        '{split}2017',
        check_coco,
        groups_of_coco,
        dict(
            type='mmclip.OVCocoDataset',
            base_classes='coco-base-48',
            novel_classes='coco-novel-17',
        ),
    ),
    'lvis': Source(
        'annotations/lvis_v1_{split}.json',
        '.',
        check_lvis,
        groups_of_lvis,
        dict(type='mmclip.OVLVISV1Dataset'),
    ),
}


def main(source: str, doc: str, argv: list[str] | None = None) -> int:
    """Check both splits; 1 where a fault was found.

    Args:
        source: 'coco' or 'lvis'.
        doc: What the tool says of itself.
        argv: The command line.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument('root', type=Path, help='such as data/coco')
    parser.add_argument(
        '--no-images', action='store_true', help='check annotations alone'
    )
    parser.add_argument(
        '--write-base',
        type=Path,
        metavar='FILE',
        help="training annotations of base classes alone, for other programs'"
        ' use; ours need no such file',
    )
    args = parser.parse_args(argv)
    try:
        return run(SOURCES[source], args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


def run(source: Source, args) -> int:
    """Do what the command line says."""
    train, faults = check_split(source, args.root, 'train', args.no_images)
    faults += check_split(source, args.root, 'val', args.no_images)[1]
    if faults:
        print(f'{faults} faults: mend them first')
        return 1
    if args.write_base:
        base = source.groups(train)['base']
        count = write_base(train, base, args.write_base)
        print(f'wrote {count} annotations to {args.write_base}')
    return 0


def check_split(
    source: Source, root: Path, split: str, no_images: bool
) -> tuple[dict, int]:
    """Print what a split holds; return the file and its faults."""
    path = root / source.annotations.format(split=split)
    content = read_annotations(path)
    found = source.check(content, split)
    if not no_images and not any(finding.spoils for finding in found):
        folder = root / source.images.format(split=split)
        found += check_images(content, folder)
    print(f'{path}: {len(content["images"])} images')
    for finding in found:
        print(f'  {"fault" if finding.spoils else "note"}: {finding.text}')
    faults = sum(finding.spoils for finding in found)
    if not faults:
        for name, group in count_groups(
            content, source.groups(content)
        ).items():
            print(f'  {name}: {group}')
        if split == 'train':
            print(f'  {prove(source, path, content)}')
    return content, faults


def prove(source: Source, path: Path, content: dict) -> str:
    """Read the file as training does and say that novel boxes stay unread.

    Raises:
        ValueError: A box was read that is none of a base class.
    """
    from mmclip.registry import DATASETS

    with redirect_stdout(StringIO()):
        dataset = DATASETS.build(
            dict(
                source.dataset,
                ann_file=str(path),
                data_prefix=dict(img=''),
                classes_of=('base',),
                serialize_data=False,
            )
        )
    wanted = boxes_of(content, source.groups(content)['base'])
    ids, read = dataset.cat_ids, 0
    for info in dataset.data_list:
        for box in info['instances']:
            key = info['img_id'], ids[box['bbox_label']], *box['bbox']
            if key not in wanted:
                raise ValueError(
                    f'training reads a box that is none of a base class: '
                    f'image {key[0]}, category {key[1]}, {key[2:]}'
                )
            read += 1
    total = sum(wanted.values())
    return (
        f'training reads {read} of the {total} annotations of base classes '
        '(mmdet leaves out what has no area) and no other: it needs no new '
        'file'
    )


def boxes_of(content: dict, ids: set[int]) -> dict[tuple, int]:
    """Count the annotations of some categories: (image, category, xyxy)."""
    boxes = {}
    for annotation in content['annotations']:
        if annotation['category_id'] in ids:
            x, y, width, height = annotation['bbox']
            key = annotation['image_id'], annotation['category_id']
            key += x, y, x + width, y + height
            boxes[key] = boxes.get(key, 0) + 1
    return boxes
