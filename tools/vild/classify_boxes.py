"""Ask a ViLD for the names of true boxes: ``classify_boxes.py --help``.

Prints top-1 of base and novel boxes, each among its own names and among all,
beside chance and beside the same head with the novel embeddings shuffled.
"""

import sys

from mmclip.inference import naming
from mmclip.vild.box_classification import named_logits


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    return naming.run(__doc__.splitlines()[0], named_logits, 'boxes', argv)


if __name__ == '__main__':
    sys.exit(main())
