"""Check LVIS v1 for open-vocabulary detection: 866 base, 337 novel classes.

``python tools/prepare/lvis_ov.py data/lvis_v1`` checks version, ids,
frequency letters and image paths, prints what base and novel classes have,
and proves that our dataset reads base boxes alone.
"""

import sys

from mmclip.data.prepare import main

if __name__ == '__main__':
    sys.exit(main('lvis', __doc__))
