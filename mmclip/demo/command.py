"""The command ``mmclip demo``: its options, and the page that it serves."""

import argparse

from mmclip.demo.models import FIX, Named

WHO = dict(
    detect='a detector',
    ground='a detector that reads captions, such as GLIP',
    segment='a segmentor',
    groups='a GroupViT',
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip demo``."""
    for task, who in WHO.items():
        parser.add_argument(
            f'--model-{task}',
            nargs='+',
            default=[],
            metavar=('MODEL', 'CONFIG'),
            help=f'{who}: work directory, checkpoint or name, and its config '
            'where the checkpoint does not hold it',
        )
    parser.add_argument(
        '--model-sketch',
        nargs='+',
        default=[],
        metavar=('NAME', 'WEIGHTS'),
        help='a network as of `mmclip sketch --clip`, such as '
        'RN101-quickgelu or shapes-clip (drawn shapes only), and its weights; '
        'default: what is at hand',
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='whose connections are taken; default: this machine alone',
    )
    parser.add_argument(
        '--port', type=int, help='default: the first free one from 7860 on'
    )


def run(args) -> None:
    """Serve the page until Ctrl-C."""
    from mmclip.demo.page import build_page, launch, need_gradio

    need_gradio()
    launch(build_page(models_of(args)), args.host, args.port)


def models_of(args) -> dict[str, Named]:
    """Return what the command line names for each tab.

    Raises:
        ValueError: A tab has more than a model and its config.
    """
    models = {}
    for task in FIX:
        words = getattr(args, f'model_{task}')
        if len(words) > 2:
            raise ValueError(
                f'--model-{task} {" ".join(words)}: expected a model and, '
                'where needed, its config'
            )
        models[task] = Named(task, *words)
    return models
