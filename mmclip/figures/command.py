"""The command ``mmclip figure``: its kinds and their options."""

import argparse
from pathlib import Path

from mmclip.figures import (
    attention,
    bars,
    curves,
    distillation,
    gallery,
    similarity,
)

KINDS = dict(
    curves=(curves, 'losses and metrics of trainings'),
    bars=(bars, 'base, novel and unseen names of evaluations, side by side'),
    similarity=(similarity, 'how well each pixel of an image fits a name'),
    attention=(attention, 'where the strokes of a sketch may start'),
    distillation=(distillation, 'how near a ViLD came to its teacher'),
    gallery=(gallery, 'all sketches of a folder on one sheet'),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the kinds of figures, each with options of its own."""
    kinds = parser.add_subparsers(
        dest='kind', required=True, help='what is drawn'
    )
    for name, (module, text) in KINDS.items():
        sub = kinds.add_parser(name, help=text, description=f'Draw {text}.')
        module.add_options(sub)
        sub.add_argument(
            '--out',
            type=Path,
            default=Path(f'{name}.png'),
            metavar='FILE',
            help='.png or .jpg (default: %(default)s)',
        )


def run(args) -> None:
    """Draw one figure and write it."""
    from mmclip.visualization import save_picture

    module, _ = KINDS[args.kind]
    save_picture(args.out, module.draw(args))
    print(f'written: {args.out}')
