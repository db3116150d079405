"""``mmclip convert``: published checkpoints into files that mmengine loads."""

import sys
from argparse import ArgumentParser, Namespace

from mmclip.jobs import add_settings_option, read_config

METHODS = ('glip', 'groupvit', 'lseg', 'vild')


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``mmclip convert``."""
    parser.add_argument('method', choices=METHODS, help='whose checkpoint')
    parser.add_argument(
        'source',
        metavar='SRC',
        help="glip: microsoft's checkpoint or mmdet's; "
        "groupvit: a checkpoint of the authors', Hugging Face's or ours; "
        'lseg: a Lightning checkpoint or its state dict; vild: a '
        'TensorFlow checkpoint (its prefix, .index or folder), or an .npz of '
        'its variables',
    )
    parser.add_argument('target', metavar='DST', help='.safetensors or .pth')
    parser.add_argument(
        '--config',
        help='config file, or a name as in `mmclip models`; default: the '
        'recipe that the checkpoint fits',
    )
    add_settings_option(parser)
    parser.add_argument(
        '--annotations',
        metavar='FILE',
        help='vild: LVIS v1 annotations; their frequency letters say which '
        'names had boxes in training',
    )
    parser.add_argument(
        '--clip',
        metavar='FILE',
        help='lseg: a CLIP that the text tower inside is compared with',
    )
    parser.add_argument(
        '--layout',
        choices=['ours', 'authors', 'hf'],
        default='ours',
        help='groupvit: whose layout is written',
    )


def convert_glip(args: Namespace):
    """Convert a GLIP of microsoft's or OpenMMLab's; return the report."""
    from mmclip.glip.convert import convert_release, read_published, recipe_for

    state = read_published(args.source)
    args.config = args.config or recipe_for(state)
    return convert_release(state, args.target, read_config(args))


def convert_groupvit(args: Namespace):
    """Convert a GroupViT between layouts; return the report."""
    from mmclip.groupvit.convert import convert_release

    return convert_release(args.source, args.target, args.layout)


def convert_lseg(args: Namespace):
    """Convert LSeg's release; return the report."""
    from mmclip.clip.checkpoint import read_state
    from mmclip.lseg.checkpoint import read_lightning
    from mmclip.lseg.convert import convert_release, recipe_for

    state = read_lightning(args.source)
    args.config = args.config or recipe_for(state)
    clip = read_state(args.clip) if args.clip else None
    return convert_release(state, args.target, read_config(args), clip)


def convert_vild(args: Namespace):
    """Convert ViLD's release; return the report."""
    from mmclip.vild.convert import convert_release, recipe_for
    from mmclip.vild.tf_bundle import open_variables

    variables = open_variables(args.source)
    args.config = args.config or recipe_for(list(variables))
    return convert_release(
        variables, args.target, read_config(args), args.annotations
    )


def convert_file(words: list[str]):
    """Convert as ``mmclip convert`` with these words; return the report."""
    parser = ArgumentParser(prog='mmclip convert', exit_on_error=False)
    add_options(parser)
    return convert(parser.parse_args(words))


def convert(args: Namespace):
    """Convert as the options say; return the report."""
    converters = (convert_glip, convert_groupvit, convert_lseg, convert_vild)
    return dict(zip(METHODS, converters))[args.method](args)


def run(args: Namespace) -> int:
    """Convert, print what went where; 1 if the two sides do not fit."""
    report = convert(args)
    print('\n'.join(report.lines()))
    if not report.complete:
        print(f'error: {args.target} was not written', file=sys.stderr)
        return 1
    print(f'written: {args.target}')
    return 0
