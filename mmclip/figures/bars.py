"""Base, novel and unseen names of evaluations, side by side."""

import argparse
import re
from collections.abc import Sequence

import numpy as np

from mmclip.figures.canvas import Sheet, tint, with_labels
from mmclip.figures.scalars import find_scalars, read_records

GROUP = re.compile(r'(?<![a-z])(base|novel|unseen)(?![a-z])')
GROUPS = ('base', 'novel', 'unseen')
LETTERS = 80  # of a line of the legend
USUAL = ('*bbox_*_mAP_50', '*bbox_*_AP50', '*_mIoU')  # what papers compare


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip figure bars``."""
    parser.add_argument(
        'logs',
        nargs='+',
        metavar='[LABEL=]LOG',
        help='work directories of tests or trainings, or JSON files; those '
        'of one label are seeds: mean, standard deviation and each value',
    )
    parser.add_argument(
        '--metric',
        help='a key with the group left out, such as "coco/bbox_*_mAP_50"; '
        'default: AP50 of boxes, or mIoU',
    )


def draw(args) -> np.ndarray:
    """Draw what the command line asks for."""
    logs = [(label, read_figures(p)) for label, p in with_labels(args.logs)]
    metric = args.metric or choose_metric([found for _, found in logs])
    found: dict[str, list[dict]] = {}
    for label, figures in logs:
        if metric not in figures:
            raise ValueError(
                f"{label} has no metric '{metric}'; it has "
                f'{", ".join(figures) or "none of base and novel names"}'
            )
        found.setdefault(label, []).append(figures[metric])
    return draw_bars(found, metric)


def read_figures(path) -> dict[str, dict[str, float]]:
    """Return the last figures of a log by metric and group.

    Args:
        path: A work directory, or a JSON file.

    Returns:
        Such as ``{'coco/bbox_*_mAP_50': {'base': 0.9, 'novel': 0.6}}``.
    """
    found: dict[str, dict] = {}
    for file in find_scalars(path):
        for record in read_records(file):
            for key, value in record.items():
                group = GROUP.search(key)
                if group and isinstance(value, (int, float)):
                    metric = GROUP.sub('*', key, count=1)
                    found.setdefault(metric, {})[group[1]] = float(value)
    return {metric: f for metric, f in found.items() if len(f) > 1}


def choose_metric(logs: Sequence[dict]) -> str:
    """Return the usual metric that all logs share, or the first one.

    Raises:
        ValueError: They share none.
    """
    shared = [m for m in logs[0] if all(m in log for log in logs)]
    if not shared:
        raise ValueError(
            'the logs share no metric of base and novel names, such as '
            'coco/bbox_novel_mAP_50 or novel_mIoU: name logs of evaluations '
            'with the same metric of ours (OVCocoMetric, OVLVISMetric, '
            'OVIoUMetric)'
        )
    usual = [m for pattern in USUAL for m in shared if m.endswith(pattern[1:])]
    return (usual or shared)[0]


def draw_bars(
    found: dict[str, list[dict]], metric: str, order: Sequence[str] = GROUPS
) -> np.ndarray:
    """Draw a bar for each label and group.

    Args:
        found: For each label the figures of its runs by group; fractions, or
            percents, which are told by being above 1.
        metric: What is measured: stands at the axis.
        order: Of the groups; those without a figure are left out.

    Returns:
        The picture, (H, W, 3) RGB.
    """
    groups = [
        group
        for group in order
        if any(group in run for runs in found.values() for run in runs)
    ]
    every = [v for runs in found.values() for r in runs for v in r.values()]
    most = np.nanmax(every)
    factor = 100 if most <= 1 else 1
    sheet = Sheet(1, 8, 4)
    (axes,), width = sheet.axes, 0.8 / len(found)
    for k, (label, runs) in enumerate(found.items()):
        values = factor * np.array(
            [[run.get(group, np.nan) for group in groups] for run in runs]
        )  # (runs, groups)
        x = np.arange(len(groups)) + (k + 0.5) * width - 0.4
        heights = values.mean(axis=0)
        spread = values.std(axis=0, ddof=1) if len(runs) > 1 else None
        bars = axes.bar(
            x,
            heights,
            0.9 * width,
            yerr=spread,
            capsize=3,
            color=tint(k),
            label=label if len(runs) == 1 else f'{label} ({len(runs)} seeds)',
        )
        axes.bar_label(bars, fmt='%.1f', padding=2, fontsize=8)
        if len(runs) > 1:
            axes.plot(x, values.T, 'k.', alpha=0.5)
    axes.set_xticks(range(len(groups)), groups)
    axes.set(ylabel=f'{metric} in %', ylim=(0, 100))
    longest = max(map(len, found)) + 10  # with the number of its seeds
    columns = min(len(found), max(1, LETTERS // longest))
    sheet.figure.legend(loc='outside upper center', ncols=columns)
    return sheet.picture()
