"""Write the shapes world: ``tools/prepare/shapes.py VIEW OUT --help``."""

import sys

from mmclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['shapes', *sys.argv[1:]]))
