"""Ask a segmentor for the names of true masks: ``name_masks.py --help``.

Pools the pixel embeddings in each true mask of the test set (a mask is all of
one class in an image) and prints how often base and novel masks get their own
name, each among its own names and among all, beside chance and beside the
same embeddings with the novel names shuffled. The background never competes.
"""

import sys

from mmclip.inference import naming
from mmclip.lseg.mask_naming import dataset_logits


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    return naming.run(__doc__.splitlines()[0], dataset_logits, 'masks', argv)


if __name__ == '__main__':
    sys.exit(main())
