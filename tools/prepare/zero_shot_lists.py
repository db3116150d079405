"""Write the lists of PASCAL-5i and COCO-20i from folders of semantic maps.

A line ``NAME__CC`` says that map NAME.png shows the class CC, counted from 1:

    python tools/prepare/zero_shot_lists.py pascal \\
        data/VOCdevkit/VOC2012/SegmentationClassAug \\
        data/VOCdevkit/pascal-5i/test.txt \\
        --images data/VOCdevkit/VOC2012/JPEGImages --names val.txt

Maps hold 0 for others, 1 and more for classes and 255 for what is ignored.
"""

import argparse
import os
import sys
from pathlib import Path

import cv2
import numpy as np

from mmclip.lseg.folds import class_names


def main(argv: list[str] | None = None) -> int:
    """Write one list; return 1 where the maps have faults."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('benchmark', choices=['pascal', 'coco'])
    parser.add_argument('maps', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--images', type=Path, help='to check that each is')
    parser.add_argument('--names', type=Path, help='list of maps to take')
    parser.add_argument(
        '--min-pixels',
        type=int,
        default=1,
        help='classes with fewer in a map are left out',
    )
    args = parser.parse_args(argv)
    lines, faults = scan(args)
    print('\n'.join(faults[:20]), file=sys.stderr, end='\n' if faults else '')
    if faults or not lines:
        print(
            f'{len(faults)} faults, {len(lines)} lines: nothing was written',
            file=sys.stderr,
        )
        return 1
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partial = args.out.with_name(f'.{args.out.name}.{os.getpid()}')
    partial.write_text('\n'.join(lines) + '\n')
    os.replace(partial, args.out)
    print(f'{len(lines)} pairs of image and class -> {args.out}')
    return 0


def scan(args) -> tuple[list[str], list[str]]:
    """Return the list's lines, and what is wrong with the maps."""
    if args.names:
        stems = args.names.read_text().split()
    else:
        stems = sorted(path.stem for path in args.maps.glob('*.png'))
    count = len(class_names(args.benchmark))
    lines, faults = [], []
    for done, stem in enumerate(stems, start=1):
        label = cv2.imread(
            str(args.maps / f'{stem}.png'), cv2.IMREAD_UNCHANGED
        )
        if label is None or label.ndim != 2:
            faults.append(f'{stem}: no map of one channel')
            continue
        if args.images and not (args.images / f'{stem}.jpg').is_file():
            faults.append(f'{stem}: no image in {args.images}')
        values, sizes = np.unique(label, return_counts=True)
        beyond = [v for v in values.tolist() if count < v < 255]
        if beyond:
            faults.append(f'{stem}: values {beyond} beyond {count} classes')
        lines += [
            f'{stem}__{value:02d}'
            for value, size in zip(values.tolist(), sizes.tolist())
            if 0 < value <= count and size >= args.min_pixels
        ]
        if done % 1000 == 0:
            print(f'{done} of {len(stems)} maps', file=sys.stderr)
    return lines, faults


if __name__ == '__main__':
    sys.exit(main())
