"""Test a checkpoint: ``python tools/test.py CONFIG CHECKPOINT --help``."""

import sys

from mmclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))
