"""The command ``mmclip sketch``: its options, and what it prints."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmclip.inference.options import add_folder_options, positive
from mmclip.jobs import add_settings_option

FORMATS = ('svg', 'png', 'animated_svg', 'gif', 'mp4')


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``mmclip sketch``."""
    add_folder_options(parser)
    parser.add_argument(
        '--strokes', type=int, default=16, help='how many (default: 16)'
    )
    parser.add_argument(
        '--out',
        default='sketches',
        metavar='DIR',
        help='where sketches go; <name>.svg there is the best so far',
    )
    parser.add_argument(
        '--clip',
        metavar='NAME',
        help="a network of open_clip's, such as RN101-quickgelu; shapes-clip "
        '(drawn shapes only); efficientnet-lite0; default: what is at hand',
    )
    parser.add_argument('--pretrained', metavar='TAG|FILE', help='its weights')
    parser.add_argument('--config', help='a config instead, by file or name')
    parser.add_argument(
        '--seeds', type=int, help='starts tried for each image'
    )
    parser.add_argument('--iters', type=int, help='steps of each sketch')
    parser.add_argument(
        '--batch-size', type=positive, default=1, help='images at once'
    )
    parser.add_argument(
        '--masks',
        nargs='+',
        metavar='MASK',
        help='foregrounds, white where the image stays: a folder with the '
        "images' names, or a file for each",
    )
    parser.add_argument(
        '--foreground',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='a segmentor or detector that finds the foreground; u2net and '
        'its weights take what is salient',
    )
    parser.add_argument(
        '--names', nargs='+', help='what the foreground is called'
    )
    parser.add_argument(
        '--of',
        metavar='NAME',
        help='sketch this alone, though the picture has a background: '
        "'object' is what stands out from its border, a name (cat) the part "
        'of that which CLIP finds nearest to it',
    )
    parser.add_argument(
        '--formats',
        nargs='+',
        choices=FORMATS,
        default=['svg', 'png', 'animated_svg'],
        metavar='FORMAT',
        help=f'of {", ".join(FORMATS)} (default: svg png animated_svg)',
    )
    parser.add_argument(
        '--size', type=int, default=512, help='longer side of PNG, GIF, MP4'
    )
    parser.add_argument('--resume', action='store_true', help='go on in --out')
    add_settings_option(parser)


def run(args: Namespace) -> int:
    """Sketch, and say of every image which network looked."""
    from mmclip.clipasso.dataset import find_images
    from mmclip.inference.image import refuse_address
    from mmclip.inference.sketcher import Sketcher
    from mmclip.inference.source import LeftOut

    for image in args.images:  # what is missing is told before the network
        refuse_address(image)
        if not args.recursive:
            find_images(image)
    broken = LeftOut()
    sketcher = Sketcher(
        args.strokes,
        clip=args.clip,
        pretrained=args.pretrained,
        config=args.config,
        seeds=args.seeds,
        iters=args.iters,
        batch_size=args.batch_size,
        foreground=foreground_of(args),
        of=args.of,
        formats=args.formats,
        size=args.size,
        cfg_options=args.cfg_options,
    )
    masks = args.masks
    if masks and len(masks) == 1 and Path(masks[0]).is_dir():
        masks = masks[0]
    try:
        found = sketcher.records(
            args.images,
            args.out,
            many=len(args.images) > 1 or not Path(args.images[0]).is_file(),
            masks=masks,
            resume=args.resume,
            progress=not args.quiet,
            recursive=args.recursive,
            on_broken=broken,
        )
    except KeyboardInterrupt:
        print(
            f'interrupted: the best so far is in {args.out}; the same '
            'command with --resume goes on',
            file=sys.stderr,
        )
        return 130
    for each in (record.summary() for record in found):
        print(
            f'{each["path"]}: {each["strokes"]} strokes, loss '
            f'{each["loss"]:.4g} (seed {each["seed"]}, step '
            f'{each["iteration"]}) -> {Path(args.out) / each["name"]}.svg'
        )
    for network in dict.fromkeys(each.network for each in found):
        print(f'network: {network}')
    return broken.exit_code()


def foreground_of(args: Namespace) -> dict | None:
    """Return the settings of the foreground model, if one is asked for."""
    if not args.foreground:
        if args.names:
            raise ValueError('--names belongs to --foreground')
        return None
    config, checkpoint = args.foreground
    if config == 'u2net':
        if args.names:
            raise ValueError(
                'u2net finds what is salient: it reads no --names'
            )
        return dict(type='mmclip.SalientForeground', checkpoint=checkpoint)
    return dict(config=config, checkpoint=checkpoint, names=args.names)
