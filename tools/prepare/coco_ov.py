"""Check COCO for open-vocabulary detection: 48 base and 17 novel classes.

``python tools/prepare/coco_ov.py data/coco`` checks the official instance
files and images, prints what base, novel and removed classes have, and proves
that our dataset reads base boxes alone from them.
"""

import sys

from mmclip.data.prepare import main

if __name__ == '__main__':
    sys.exit(main('coco', __doc__))
