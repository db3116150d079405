"""The command line: ``mmclip COMMAND``, each a thin door to a room below."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from mmclip import __version__, jobs
from mmclip.demo import command as demo
from mmclip.figures import command as figures
from mmclip.inference import (
    export,
    groups,
    segment_command,
    sketch_command,
)

USER_ERRORS = (ValueError, OSError, ImportError, RuntimeError)


def build_parser() -> argparse.ArgumentParser:
    """Describe all commands and their options."""
    parser = argparse.ArgumentParser(
        prog='mmclip',
        description='What grew out of CLIP, in OpenMMLab runners.',
    )
    parser.add_argument('--version', action='version', version=__version__)
    subparsers = parser.add_subparsers(dest='command', required=True)
    for name, run, add_options, text in commands():
        sub = subparsers.add_parser(name, help=text, description=text)
        sub.add_argument(
            '--debug',
            action='store_true',
            help='show where an error came from',
        )
        sub.set_defaults(run=run)
        add_options(sub)
    return parser


def commands() -> tuple:
    """Return (name, what runs it, what adds its options, what it does)."""
    return (
        (
            'detect',
            detect,
            add_detect_options,
            'Find what a text names in pictures.',
        ),
        (
            'groups',
            groups.run,
            groups.add_groups_options,
            "Draw a GroupViT's groups on pictures.",
        ),
        (
            'segment',
            segment_command.segment,
            segment_command.add_segment_options,
            'Give every pixel of pictures one of the names of a text.',
        ),
        (
            'embed-pixels',
            segment_command.embed,
            segment_command.add_embed_options,
            'Write the pixel embeddings of pictures.',
        ),
        ('train', jobs.train, jobs.add_train_options, 'Train a config.'),
        ('test', jobs.test, jobs.add_test_options, 'Test a checkpoint.'),
        (
            'export',
            export.run,
            export.add_export_options,
            'Write a model and its names as ONNX.',
        ),
        (
            'sketch',
            sketch_command.run,
            sketch_command.add_options,
            'Sketch pictures with a few strokes.',
        ),
        (
            'demo',
            demo.run,
            demo.add_options,
            'Serve a page with a tab for each task.',
        ),
        (
            'figure',
            figures.run,
            figures.add_options,
            'Draw curves, bars, maps and galleries.',
        ),
        (
            'models',
            list_models,
            add_models_options,
            'List the configs and weights.',
        ),
        (
            'doctor',
            doctor,
            partial(add_config_options, nargs='?'),
            'Say what is installed, what is missing and what mmclip mends; '
            'or what a config needs and lacks here.',
        ),
        (
            'check-data',
            check_data,
            add_config_options,
            'Count what the data of a config hold and name their faults.',
        ),
        (
            'shapes',
            export_shapes,
            add_shapes_options,
            'Write drawings of the shapes world as a data set.',
        ),
        (
            'convert',
            convert,
            add_convert_options,
            'Convert a published checkpoint.',
        ),
    )


def add_models_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip models``."""
    parser.add_argument(
        'filter', nargs='?', default='', help='show names that contain this'
    )


def add_config_options(parser: argparse.ArgumentParser, **options) -> None:
    """Add a config and changes to it; ``options`` go to the former."""
    from mmengine.config import DictAction

    parser.add_argument(
        'config',
        help='config file, or a name as in `mmclip models`',
        **options,
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE'
    )


def add_detect_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip detect``."""
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    parser.add_argument(
        '--text',
        help='names, such as "red circle . blue '
        'square"; default: the names saved in the checkpoint',
    )
    parser.add_argument(
        '--model',
        required=True,
        metavar='WORK_DIR|FILE',
        help='work directory of a training, or a checkpoint',
    )
    parser.add_argument(
        '--config', help='its config, where the checkpoint does not hold it'
    )
    parser.add_argument('--score-thr', type=float, default=0.3)
    parser.add_argument(
        '--out',
        default='outputs',
        metavar='DIR',
        help='where pictures and detections.json go',
    )
    parser.add_argument(
        '--device',
        help='such as cuda:0; default: the first accelerator, else cpu',
    )


def add_convert_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip convert``."""
    from mmengine.config import DictAction

    parser.add_argument('method', choices=CONVERT, help='whose checkpoint')
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
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE'
    )
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


def convert_glip(args):
    """Convert a GLIP of microsoft's or OpenMMLab's; return the report."""
    from mmclip.glip.convert import convert_release, read_published, recipe_for

    state = read_published(args.source)
    args.config = args.config or recipe_for(state)
    return convert_release(state, args.target, read_config(args))


def convert_groupvit(args):
    """Convert a GroupViT between layouts; return the report."""
    from mmclip.groupvit.convert import convert_release

    return convert_release(args.source, args.target, args.layout)


def convert_lseg(args):
    """Convert LSeg's release; return the report."""
    from mmclip.clip.checkpoint import read_state
    from mmclip.lseg.checkpoint import read_lightning
    from mmclip.lseg.convert import convert_release, recipe_for

    state = read_lightning(args.source)
    args.config = args.config or recipe_for(state)
    clip = read_state(args.clip) if args.clip else None
    return convert_release(state, args.target, read_config(args), clip)


def convert_vild(args):
    """Convert ViLD's release; return the report."""
    from mmclip.vild.convert import convert_release, recipe_for
    from mmclip.vild.tf_bundle import open_variables

    variables = open_variables(args.source)
    args.config = args.config or recipe_for(list(variables))
    return convert_release(
        variables, args.target, read_config(args), args.annotations
    )


CONVERT = dict(
    glip=convert_glip,
    groupvit=convert_groupvit,
    lseg=convert_lseg,
    vild=convert_vild,
)


def convert(args) -> int:
    """Convert, print what went where; 1 if the two sides do not fit."""
    report = CONVERT[args.method](args)
    print('\n'.join(report.lines()))
    if not report.complete:
        print(f'error: {args.target} was not written', file=sys.stderr)
        return 1
    print(f'written: {args.target}')
    return 0


def detect(args) -> None:
    """Detect in every image; write pictures and one JSON file."""
    import json

    from mmclip.clip.phrases import split_phrases
    from mmclip.inference.detector import Detector
    from mmclip.inference.image import load_image
    from mmclip.visualization import draw_detections, save_picture

    images = {path: load_image(path) for path in args.images}
    detector = Detector(args.model, config=args.config, device=args.device)
    out, records = Path(args.out), {}
    for path, image in images.items():
        found = detector(image, args.text, score_thr=args.score_thr)
        picture = draw_detections(
            image,
            found['boxes'],
            found['labels'],
            found['scores'],
            found.get('masks'),
            512,
            split_phrases(args.text) if args.text else detector.classes,
            with_legend=True,
        )
        target = out / f'{Path(path).stem}.png'
        save_picture(target, picture)
        print(f'{path}: {describe(found)} -> {target}')
        records[path] = {
            key: found[key] if key == 'labels' else found[key].tolist()
            for key in ('labels', 'scores', 'boxes')
        }
    partial = out / '.detections.json'
    partial.write_text(json.dumps(records, indent=1))
    partial.replace(out / 'detections.json')


def describe(found: dict) -> str:
    """Say in one line what was found."""
    if not found['labels']:
        return 'nothing found'
    return ', '.join(
        f'{name} {score:.2f}'
        for name, score in zip(found['labels'], found['scores'].tolist())
    )


def list_models(args) -> None:
    """Print the configs that come with the package and their weights."""
    from mmengine.fileio import load

    folder = jobs.config_folder()
    for metafile in sorted(folder.glob('*/metafile.yml')):
        for model in load(metafile).get('Models', []):
            if args.filter in model['Name']:
                print(
                    f'{model["Name"]:<44} {model["In Collection"]:<10} '
                    f'{model.get("Weights", "no published weights")}'
                )


def read_config(args):
    """Return the config of ``args`` with the changes asked for."""
    from mmengine.config import Config

    cfg = Config.fromfile(jobs.find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    return cfg


def doctor(args) -> int:
    """Print what is wrong here, or what a config lacks; 1 if anything."""
    if args.config is None:
        from mmclip.doctor import report

        return min(report(), 1)
    from mmclip import diagnosis

    return min(diagnosis.report(read_config(args)), 1)


def check_data(args) -> int:
    """Print what the data hold and lack; 1 for faults that spoil a run."""
    from mmclip.data.check_config import report

    return min(report(read_config(args)), 1)


def add_shapes_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip shapes``."""
    from mmclip.data.shapes_export import add_options

    add_options(parser)


def export_shapes(args) -> int:
    """Write a view of the shapes world."""
    from mmclip.data.shapes_export import run

    return run(args)


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit code.

    A user's error ends in one message and code 1; ``--debug`` shows its
    traceback.
    """
    # Threads that wait give their core away instead of spinning: on cores that
    # others use too, training takes half the time. Read when torch is loaded.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    args = build_parser().parse_args(argv)
    try:
        code = args.run(args)
    except KeyboardInterrupt:
        print(
            'interrupted: what was saved stays; train again with --resume',
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # who reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except USER_ERRORS as error:
        if args.debug:
            raise
        print(f'error: {error}\n(--debug shows where)', file=sys.stderr)
        return 1
    return code if isinstance(code, int) else 0


if __name__ == '__main__':
    sys.exit(main())
