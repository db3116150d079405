"""Convert the TensorFlow release of ViLD: ``mmclip convert vild SRC DST``."""

import sys

from mmclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['convert', 'vild', *sys.argv[1:]]))
