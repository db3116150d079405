"""Precision and recall of COCO's and LVIS's protocols, and their averages.

T IoU thresholds (.50:.05:.95), R recalls (0:.01:1), C categories in the order
of their ids, A areas (all, small, medium, large), M limits of detections.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ROWS = {'': slice(None), '50': slice(0, 1), '75': slice(5, 6)}
AREAS = {'s': 1, 'm': 2, 'l': 3}


class Curves(NamedTuple):
    """Hold what an evaluation found; -1 where there is no ground truth.

    Attributes:
        precision: (T, R, C, A), at the largest number of detections.
        recall: (T, C, A, M).
    """

    precision: np.ndarray
    recall: np.ndarray

    def average_precision(self, columns=slice(None), end='') -> float:
        """Average over some categories.

        Args:
            columns: Positions of the categories.
            end: '', '50' and '75' (IoU) or 's', 'm' and 'l' (area).
        """
        rows, area = ROWS.get(end, slice(None)), AREAS.get(end, 0)
        return mean_valid(self.precision[rows][:, :, columns, area])

    def average_recall(self, columns=slice(None), end='', limit=-1) -> float:
        """Average over some categories.

        Args:
            columns: Positions of the categories.
            end: '' or an area, 's', 'm' or 'l'.
            limit: Position of the limit of detections.
        """
        found = self.recall[:, columns, AREAS.get(end, 0), limit]
        return mean_valid(found)

    def precision_of_categories(self, end: str = '') -> np.ndarray:
        """Return the AP of each category (C,), -1 without ground truth."""
        count = self.precision.shape[2]
        return np.array(
            [self.average_precision([c], end) for c in range(count)]
        )


def mean_valid(values: np.ndarray) -> float:
    """Average what is not -1; -1 where all is, as COCO says it."""
    valid = values[values > -1]
    return float(valid.mean()) if valid.size else -1.0


def summary(
    curves: Curves, limits: Sequence[int], columns=slice(None)
) -> dict[str, float]:
    """Return COCO's usual figures of some categories.

    Args:
        curves: Precision and recall.
        limits: The M limits of detections that they were computed for.
        columns: Positions of the categories.

    Returns:
        AP, AP50, AP75, APs, APm, APl, AR@ each limit, and ARs@, ARm@ and
        ARl@ the last one; fractions, -1 without ground truth.
    """
    figures = {
        f'AP{end}': curves.average_precision(columns, end)
        for end in (*ROWS, *AREAS)
    }
    for i, limit in enumerate(limits):
        figures[f'AR@{limit}'] = curves.average_recall(columns, '', i)
    for end in AREAS:
        figures[f'AR{end}@{limits[-1]}'] = curves.average_recall(columns, end)
    return figures


def percent(value: float) -> str:
    """Write a fraction in percent, '-' where there was no ground truth."""
    return '-' if value < 0 else f'{100 * value:.1f}'
