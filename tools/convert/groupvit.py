"""Convert GroupViT's checkpoints: ``mmclip convert groupvit SRC DST``."""

import sys

from mmclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['convert', 'groupvit', *sys.argv[1:]]))
