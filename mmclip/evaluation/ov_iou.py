"""IoU of each group of classes: base, novel, unseen."""

import numpy as np
from mmengine.logging import MMLogger
from mmseg.evaluation.metrics import IoUMetric

from mmclip.registry import METRICS


@METRICS.register_module()
class OVIoUMetric(IoUMetric):
    """mmseg's IoUMetric, reported for every group of the dataset too.

    A group is any ``<group>_classes`` of the dataset's metainfo. All classes
    are predicted and evaluated together (the generalised setting); a group's
    figure is the mean over those of its classes that occur in the truth or
    in the predictions. In percent, as mmseg's: ``base_mIoU``,
    ``novel_mIoU`` and so on, and ``hIoU``, the harmonic mean of base and
    novel. Arguments are those of IoUMetric.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return mmseg's figures and those of the groups."""
        figures = super().compute_metrics(results)
        if self.format_only:
            return figures
        intersect, union, _, _ = (
            np.asarray(sum(part), float) for part in zip(*results)
        )
        names = list(self.dataset_meta['classes'])
        own = group_iou(intersect, union, names, groups_of(self.dataset_meta))
        figures.update({k: round(100 * v, 2) for k, v in own.items()})
        MMLogger.get_current_instance().info(
            ', '.join(f'{k} {100 * v:.1f}' for k, v in own.items())
        )
        return figures


def groups_of(dataset_meta: dict) -> dict[str, list[str]]:
    """Return the names of each group that has any."""
    return {
        key.removesuffix('_classes'): list(names)
        for key, names in dataset_meta.items()
        if key.endswith('_classes') and len(names)
    }


def group_iou(
    intersect: np.ndarray,
    union: np.ndarray,
    classes: list[str],
    groups: dict[str, list[str]],
) -> dict[str, float]:
    """Average the IoU of each group's classes.

    Args:
        intersect: Pixels of each class found and true, (C,).
        union: Pixels found or true, (C,); classes without any do not count.
        classes: The C names.
        groups: The names of each group.

    Returns:
        ``<group>_mIoU`` as fractions, NaN for a group without pixels, and
        ``hIoU`` where there are base and novel classes.
    """
    position = {name: k for k, name in enumerate(classes)}
    figures = {}
    for group, names in groups.items():
        rows = [position[n] for n in names if n in position]
        rows = [r for r in rows if union[r] > 0]
        figures[f'{group}_mIoU'] = (
            float(np.mean(intersect[rows] / union[rows])) if rows else np.nan
        )
    if {'base', 'novel'} <= set(groups):
        pair = figures['base_mIoU'], figures['novel_mIoU']
        figures['hIoU'] = harmonic_mean(*pair)
    return figures


def harmonic_mean(a: float, b: float) -> float:
    """Return 2 a b / (a + b); 0 where both are."""
    return 2 * a * b / (a + b) if a + b else 0.0
