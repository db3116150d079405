"""Options that commands on pictures share."""

from argparse import ArgumentParser, ArgumentTypeError


def add_folder_options(parser: ArgumentParser) -> None:
    """Add what tells which images are read, and whether a bar is shown."""
    parser.add_argument(
        'images', nargs='+', metavar='IMAGE', help='files or folders'
    )
    parser.add_argument(
        '--recursive',
        action='store_true',
        help='look through the folders within a folder, too',
    )
    parser.add_argument(
        '--quiet', action='store_true', help='show no progress bar'
    )


def add_image_options(parser: ArgumentParser) -> None:
    """Add what detecting and segmenting read alike."""
    add_folder_options(parser)
    parser.add_argument(
        '--model',
        metavar='NAME|WORK_DIR|FILE',
        help='a name such as glip-t (`mmclip models` lists them; weights are '
        'fetched if need be), work directory of a training, or a checkpoint; '
        'default: the best on this machine that knows photographs',
    )
    parser.add_argument(
        '--config', help='its config, where the checkpoint does not hold it'
    )
    parser.add_argument(
        '--device',
        help='such as cuda:0; default: the first accelerator, else cpu',
    )


def add_text_options(parser: ArgumentParser) -> None:
    """Add what both read alike of the question."""
    parser.add_argument(
        '--text',
        help='names, such as "sky . dog . other"; with prompts, such as "dog: '
        'a puppy | a hound . cat"; or a JSON file of a list or {label: '
        '[prompts]}; for a GLIP also a caption, whose phrases it finds; '
        'default: the names saved in the checkpoint',
    )
    parser.add_argument(
        '--batch-size',
        type=positive,
        default=1,
        metavar='N',
        help='most images at once; only neighbours of one size share a batch',
    )


def positive(text: str) -> int:
    """Read a whole number from 1.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f'expected a whole number from 1, got {text}')
    return int(text)
