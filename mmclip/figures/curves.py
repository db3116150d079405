"""Training curves of one or several runs, a plot for each number."""

import argparse

import numpy as np

from mmclip.figures.canvas import Sheet, tint, with_labels
from mmclip.figures.scalars import chosen, read_curves

USUAL = ('*loss*', '*mAP_50', '*mIoU', 'hIoU')
MOST = 12  # plots, where nobody asked for more


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip figure curves``."""
    parser.add_argument(
        'runs',
        nargs='+',
        metavar='[LABEL=]RUN',
        help='work directories, or their scalars.json',
    )
    parser.add_argument(
        '--keys',
        nargs='+',
        metavar='PATTERN',
        help='what is drawn, such as loss "coco/*novel*"; default: losses '
        'and main metrics',
    )
    parser.add_argument(
        '--log-scale', action='store_true', help='a logarithmic scale'
    )


def draw(args) -> np.ndarray:
    """Draw what the command line asks for."""
    runs = {label: read_curves(path) for label, path in with_labels(args.runs)}
    return draw_curves(runs, args.keys, args.log_scale)


def draw_curves(
    runs: dict[str, dict], patterns=None, log_scale: bool = False
) -> np.ndarray:
    """Draw curves, one colour a run.

    Args:
        runs: For each label (step, value) points by key, see
            :func:`mmclip.figures.scalars.read_curves`.
        patterns: Of the keys; by default losses and main metrics.
        log_scale: Whether values stand on a logarithmic scale.

    Returns:
        The picture, (H, W, 3) RGB.

    Raises:
        ValueError: No run logged what is asked for.
    """
    every = [key for curves in runs.values() for key in curves]
    if patterns is None:
        usual = [p for p in USUAL if any_fits(every, p)]
        keys = chosen(every, usual or ['*loss*'])[:MOST]
    else:
        keys = chosen(every, patterns)
    sheet = Sheet(len(keys))
    for key, axes in zip(keys, sheet.axes):
        axes.set(title=key, xlabel='step')
        if log_scale:
            axes.set_yscale('log')
        for k, (label, curves) in enumerate(runs.items()):
            points = curves.get(key, [])
            marker = 'o' if len(points) < 10 else None
            x, y = np.array(points, float).reshape(-1, 2).T
            axes.plot(x, y, color=tint(k), label=label, marker=marker)
    if len(runs) > 1:
        handles, labels = sheet.axes[0].get_legend_handles_labels()
        sheet.figure.legend(handles, labels, loc='outside upper center')
    return sheet.picture()


def any_fits(keys, pattern: str) -> bool:
    """Tell whether a pattern fits any key."""
    from fnmatch import filter as fitting

    return bool(fitting(keys, pattern))
