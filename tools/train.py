"""Train a config: ``python tools/train.py configs/vild/....py --help``."""

import sys

from mmclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
