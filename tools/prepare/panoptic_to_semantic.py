"""Turn COCO's panoptic annotations into semantic maps of 133 classes.

    python tools/prepare/panoptic_to_semantic.py \\
        data/coco/annotations/panoptic_train2017.json \\
        data/coco/panoptic_train2017 data/coco/semantic/train2017

Maps hold 0 to 132 in the order of COCO's ids and 255 where there is no
segment; ``classes.txt`` beside them holds the names. What is there already is
left as it is, so an interrupted run goes on. Faulty PNGs are named, and the
exit code is then 1.
"""

import argparse
import sys
from pathlib import Path

from mmclip.data.semantic_maps import convert_panoptic


def main(argv: list[str] | None = None) -> int:
    """Convert one split; return 1 for faults."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('annotations', type=Path)
    parser.add_argument('pngs', type=Path, help='folder of panoptic PNGs')
    parser.add_argument('out', type=Path)
    args = parser.parse_args(argv)
    try:
        faults, written = convert_panoptic(
            args.annotations, args.pngs, args.out
        )
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print('\n'.join(faults[:20]), end='\n' if faults else '')
    print(f'{written} maps in {args.out}, {len(faults)} faults')
    return int(bool(faults))


if __name__ == '__main__':
    sys.exit(main())
