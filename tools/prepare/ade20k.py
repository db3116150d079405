"""Check the folders of ADE20K (the 150 classes of the 2016 challenge).

    python tools/prepare/ade20k.py data/ade/ADEChallengeData2016

reads every map: each image must have one, of its own size, in one channel,
with values 0 (none) to 150, and there must be 20,210 and 2,000 of them. It
prints how the pixels are shared out, and ends with 1 where something is wrong.
"""

import argparse
import sys
from pathlib import Path

from mmclip.data.semantic_maps import check_folder

SPLITS = {'training': 20210, 'validation': 2000}
CLASSES = 150


def main(argv: list[str] | None = None) -> int:
    """Check both splits; return 1 for faults."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('root', type=Path)
    parser.add_argument(
        '--any-number',
        action='store_true',
        help='do not ask for the official number of images',
    )
    args = parser.parse_args(argv)
    wrong = 0
    for split, expected in SPLITS.items():
        faults, pixels = check_folder(
            args.root / 'images' / split,
            args.root / 'annotations' / split,
            range(CLASSES + 1),
            None if args.any_number else expected,
        )
        wrong += len(faults)
        print('\n'.join(faults[:20]), end='\n' if faults else '')
        if len(faults) > 20:
            print(f'and {len(faults) - 20} more')
        seen = sum(value > 0 for value in pixels)
        ignored = pixels[0] / max(pixels.total(), 1)
        print(
            f'{split}: {len(faults)} faults, {seen} of {CLASSES} classes '
            f'seen, {100 * ignored:.1f} % of the pixels without class'
        )
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
