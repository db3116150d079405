"""The page of a comparison: its tables, their maths and its pictures.

Symbols: S seeds; figures are AP50 of boxes as fractions, NaN for a group
that the test scenes do not show.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from benchmarks.shapes_runs import COLUMNS, LOGGED, METHODS, Run, percent
from mmclip.figures.bars import draw_bars
from mmclip.inference.image import load_image
from mmclip.visualization import save_picture

PICTURES = 2  # of the first seed, for each method


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample; NaN for one value."""
    if len(values) < 2 or any(map(math.isnan, values)):
        return math.nan
    return stdev(values)


@dataclass(frozen=True)
class Paired:
    """Hold S differences, their mean and its standard error."""

    differences: tuple[float, ...]
    mean: float
    error: float

    @property
    def signs(self) -> str:
        """Return each seed's sign: +, -, 0, or ? for NaN."""
        return ' '.join(
            '?' if math.isnan(d) else '+' if d > 0 else '-' if d < 0 else '0'
            for d in self.differences
        )


def paired_differences(
    first: Sequence[float], second: Sequence[float]
) -> Paired:
    """Subtract the first from the second, seed by seed.

    Args:
        first: S figures of a method.
        second: S figures of another, the same seeds in the same order.

    Raises:
        ValueError: The numbers of figures differ, or there are none.
    """
    if len(first) != len(second) or not first:
        raise ValueError(
            'paired differences need two lists of one figure a seed, got '
            f'{len(first)} and {len(second)}: run both methods on all seeds'
        )
    differences = tuple(b - a for a, b in zip(first, second))
    error = spread(differences) / math.sqrt(len(differences))
    return Paired(differences, mean(differences), error)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table; the first row is its head."""
    rule = ['---'] * len(rows[0])
    return '\n'.join(
        f'| {" | ".join(row)} |' for row in (rows[0], rule, *rows[1:])
    )


def by_measure(found: dict[str, list[dict]]) -> dict[str, dict]:
    """Group the methods by what measures them, in a fixed order."""
    groups = {
        measure: {
            name: runs
            for name, runs in found.items()
            if METHODS[name].measure == measure
        }
        for measure in LOGGED
    }
    return {measure: group for measure, group in groups.items() if group}


def figures_table(found: dict[str, list[dict]]) -> str:
    """Write mean ± standard deviation over the seeds, a method a row.

    The methods are of one measure.
    """
    rows = [(METHODS[next(iter(found))].measure, *COLUMNS.values())]
    for name, runs in found.items():
        columns = [[run[key] for run in runs] for key in COLUMNS]
        cells = [f'{percent(mean(c))} ± {percent(spread(c))}' for c in columns]
        rows.append((f'`{name}`: {METHODS[name].label}', *cells))
    return table(rows)


def differences_table(found: dict[str, list[dict]]) -> str:
    """Write mean ± standard error and signs, a pair of methods a row."""
    rows = [('difference in points', *COLUMNS.values())]
    for first, second in combinations(found, 2):
        pairs = [
            paired_differences(
                *([r[key] for r in found[m]] for m in (first, second))
            )
            for key in COLUMNS
        ]
        cells = [
            f'{percent(p.mean, "+")} ± {percent(p.error)} ({p.signs})'
            for p in pairs
        ]
        rows.append((f'`{second}` less `{first}`', *cells))
    return table(rows)


def report(
    found: dict[str, list[dict]], runs: Sequence[Run], pictures: dict[str, str]
) -> str:
    """Write the whole page; ``pictures`` has title -> relative address."""
    seeds = len(next(iter(found.values())))
    trained, tested = (
        ' or '.join(str(n) for n in sorted({r.settings[key] for r in runs}))
        for key in ('iters', 'images')
    )
    parts = [
        '# Methods on the shapes world',
        f'Made by `benchmarks/shapes.py`. Seeds: {seeds}; iterations: '
        f'{trained}; test scenes: {tested}, all names asked for at once. A '
        'demonstration and a regression test, no benchmark. Mean ± standard '
        'deviation over the seeds (of training alone: the scenes of training '
        'and of testing are the same for all seeds):',
        *map(figures_table, by_measure(found).values()),
    ]
    pairs = [group for group in by_measure(found).values() if len(group) > 1]
    if pairs:
        parts += [
            'Methods of one seed draw first weights from it and take scenes '
            'of the same numbers in the same order (with other objects in '
            'them where more names have boxes). Their differences, mean ± '
            'standard error, and the sign for each seed:',
            *map(differences_table, pairs),
        ]
    parts += [f'![{title}]({link})' for title, link in pictures.items()]
    return '\n\n'.join(parts) + '\n'


def save_pictures(
    found: dict[str, list[dict]], runs: Sequence[Run], page: Path
) -> dict[str, str]:
    """Draw the bars and copy detections into _static beside the page.

    Returns:
        Title -> address relative to the page.
    """
    folder = page.parent / '_static'
    links = {}
    for measure, group in by_measure(found).items():
        word = measure.split()[0]
        bars = folder / f'{page.stem}_bars_{word}.png'
        save_picture(bars, bars_of(group))
        links[f'{word} of each method and group'] = f'_static/{bars.name}'
    for run in runs[: len(found)]:  # those of the first seed
        sources = sorted((run.folder / 'pictures').glob('*.png'))
        for source in sources[:PICTURES]:
            name = f'{page.stem}_{run.method}_{source.stem}.jpg'
            save_picture(folder / name, load_image(source))
            title = (
                f'{METHODS[run.method].label}, scene {int(source.stem)}: '
                'truth on the left, what was found on the right'
            )
            links[title] = f'_static/{name}'
    return links


def bars_of(found: dict[str, list[dict]]) -> np.ndarray:
    """Draw mean, standard deviation and each seed: (H, W, 3) RGB."""
    figures = {
        METHODS[name].label: [
            {title: run[key] for key, title in COLUMNS.items()} for run in runs
        ]
        for name, runs in found.items()
    }
    measure = METHODS[next(iter(found))].measure
    return draw_bars(figures, measure, list(COLUMNS.values()))
