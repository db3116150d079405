"""The command line: ``mmclip COMMAND``, each a thin door to a room below."""

import argparse
import os
import re
import sys
import traceback
from difflib import get_close_matches
from functools import partial

from mmclip import __version__, convert_command, jobs, zoo_command
from mmclip.demo import command as demo
from mmclip.figures import command as figures
from mmclip.inference import (
    detect_command,
    export,
    groups,
    segment_command,
    sketch_command,
)

USER_ERRORS = (ValueError, OSError, ImportError, RuntimeError)


class HelpfulParser(argparse.ArgumentParser):
    """A parser that answers a mistyped word with the nearest ones."""

    def error(self, message: str):
        """Print usage and message, and end with code 2."""
        mistyped = re.search(r"invalid choice: '(.*?)' \((.*)\)", message)
        if mistyped:
            known = re.findall(r'[\w-]{2,}', mistyped[2].partition('from')[2])
            message += hint(mistyped[1], known)
        super().error(message)

    def refuse(self, words: list[str]) -> None:
        """End with code 2 because of words that nothing reads."""
        options = [word.partition('=')[0] for word in words]
        near = [hint(o, self._option_string_actions) for o in options]
        self.error(f'not understood: {" ".join(words)}{"".join(near)}')


def hint(word: str, known) -> str:
    """Return a hint at what a word may have meant, '' without any."""
    near = get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f'; did you mean {" or ".join(near)}?' if near else ''


def build_parser() -> HelpfulParser:
    """Describe all commands and their options."""
    parser = HelpfulParser(
        prog='mmclip',
        description='What grew out of CLIP, in OpenMMLab runners.',
        epilog='`mmclip COMMAND --help` explains a command. Exit codes: 0 all '
        'went well, 1 something could not be done, 2 the command was not '
        'understood.',
    )
    parser.add_argument('--version', action='version', version=__version__)
    subparsers = parser.add_subparsers(
        dest='command', required=True, metavar='COMMAND'
    )
    for name, run, add_options, text in commands():
        sub = subparsers.add_parser(name, help=text, description=text)
        sub.add_argument(
            '--debug',
            action='store_true',
            help='show where an error came from',
        )
        sub.set_defaults(run=run, parser=sub)
        add_options(sub)
    return parser


def commands() -> tuple:
    """Return (name, what runs it, what adds its options, what it does)."""
    return (
        (
            'detect',
            detect_command.run,
            detect_command.add_options,
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
            zoo_command.run,
            zoo_command.add_options,
            'List the configs and weights, show one, or fetch its weights.',
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
            convert_command.run,
            convert_command.add_options,
            'Convert a published checkpoint.',
        ),
    )


def add_config_options(parser: argparse.ArgumentParser, **options) -> None:
    """Add a config and changes to it; ``options`` go to the former."""
    parser.add_argument(
        'config',
        help='config file, or a name as in `mmclip models`',
        **options,
    )
    jobs.add_settings_option(parser)


def doctor(args) -> int:
    """Print what is wrong here, or what a config lacks; 1 if anything."""
    if args.config is None:
        from mmclip.doctor import report

        return min(report(), 1)
    from mmclip import diagnosis

    return min(diagnosis.report(jobs.read_config(args)), 1)


def check_data(args) -> int:
    """Print what the data hold and lack; 1 for faults that spoil a run."""
    from mmclip.data.check_config import report

    return min(report(jobs.read_config(args)), 1)


def add_shapes_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip shapes``."""
    from mmclip.data.shapes_export import add_options

    add_options(parser)


def export_shapes(args) -> int:
    """Write a view of the shapes world."""
    from mmclip.data.shapes_export import run

    return run(args)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the words of a command; end with code 2 where that fails."""
    parser = build_parser()
    try:
        args, left_over = parser.parse_known_args(argv)
    except ValueError as error:  # mmengine's reading of settings
        parser.error(f'--cfg-options takes KEY=VALUE ({error})')
    if left_over:
        args.parser.refuse(left_over)
    return args


def place_of(error: Exception) -> str:
    """Return the file and line that raised an error."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f'{os.path.basename(last.filename)}, line {last.lineno}'


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit code.

    A user's error ends in one message and code 1; ``--debug`` shows its
    traceback.
    """
    # Threads that wait give their core away instead of spinning: on cores that
    # others use too, training takes half the time. Read when torch is loaded.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    args = parse(argv)
    try:
        code = args.run(args)
    except KeyboardInterrupt:
        print(
            'interrupted: what was written stays; --resume goes on, where the '
            'command has it',
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # who reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except USER_ERRORS as error:
        if args.debug:
            raise
        print(
            f'error: {error}\n'
            f'({place_of(error)}; --debug shows the way there)',
            file=sys.stderr,
        )
        return 1
    return code if isinstance(code, int) else 0


if __name__ == '__main__':
    sys.exit(main())
