"""Convert a release of LSeg: ``mmclip convert lseg SRC DST``."""

import sys

from mmclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['convert', 'lseg', *sys.argv[1:]]))
