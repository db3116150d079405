"""Make few-shot splits of a data set in COCO's format.

``python tools/prepare/few_shot.py train/annotations.json data/few`` writes
those of ODinW: 1, 3, 5 and 10 images a class, seeds 3, 30 and 300.
"""

import sys

from mmclip.data.few_shot import main

if __name__ == '__main__':
    sys.exit(main())
