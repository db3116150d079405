"""Score the zero-shot protocols: foreground mIoU and FB-IoU.

N images, each with one class to be found; C classes of a fold.
"""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from mmclip.registry import METRICS


def overlaps(
    found: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None
) -> np.ndarray:
    """Count the pixels of two binary maps that agree, and of either.

    Args:
        found: 0 others, 1 the class; (H, W).
        truth: The same.
        ignore: Nonzero where pixels do not count.

    Returns:
        Integers (2, 2): rows are intersection and union, columns others and
        class.
    """
    counted = np.ones(truth.shape, bool) if ignore is None else ignore == 0
    both = [((found == k)[counted], (truth == k)[counted]) for k in (0, 1)]
    return np.array(
        [[(f & t).sum() for f, t in both], [(f | t).sum() for f, t in both]]
    )


def iou_of_fold(
    counts: np.ndarray, classes: np.ndarray, fold: Sequence[int]
) -> tuple[float, float, np.ndarray]:
    """Sum the counts of each class over all images, then divide.

    Args:
        counts: ``overlaps`` of N images, (N, 2, 2).
        classes: The class of each, (N,).
        fold: The C classes; one without images counts as 0.

    Returns:
        Foreground mIoU over the fold, FB-IoU (the mean of foreground and
        background IoU, each from sums over all classes), and the IoU of each
        class (C,), all in percent.

    Raises:
        ValueError: An image is of a class beyond the fold.
    """
    fold = list(fold)
    foreign = sorted(set(np.asarray(classes).tolist()) - set(fold))
    if foreign:
        raise ValueError(
            f'images of the classes {foreign} were tested but the fold has '
            f'{fold}: give dataset and metric the same fold'
        )
    sums = np.zeros((len(fold), 2, 2), np.int64)
    np.add.at(sums, [fold.index(c) for c in np.asarray(classes)], counts)
    each = ratio(sums[:, 0, 1], sums[:, 1, 1])
    both = ratio(*sums.sum(axis=0))
    return 100 * each.mean(), 100 * both.mean(), 100 * each


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide counts; 0 where there is nothing."""
    return part / np.maximum(whole, 1)


def zero_shot_iou(found, truth, classes, fold, ignore=None):
    """Return (mIoU, FB-IoU) in percent of N binary maps (N, H, W)."""
    ignored = [None] * len(found) if ignore is None else ignore
    counts = [overlaps(*each) for each in zip(found, truth, ignored)]
    return iou_of_fold(np.array(counts), classes, fold)[:2]


@METRICS.register_module()
class ZeroShotIoUMetric(BaseMetric):
    """Foreground mIoU and FB-IoU of PASCAL-5i, COCO-20i and FSS-1000.

    Each sample is segmented into two names, label 0 being 'others', and
    carries ``class_id`` (see :mod:`mmclip.lseg.zero_shot_datasets`). The fold
    is read from the dataset's metainfo ``class_ids``.

    Args:
        ignore_index: Label of the truth that does not count.
    """

    default_prefix = 'zero_shot'

    def __init__(self, ignore_index: int = 255, **kwargs) -> None:
        super().__init__(**kwargs)
        self.ignore_index = ignore_index

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each image.

        Raises:
            ValueError: A map has labels beyond 0 and 1.
        """
        for sample in data_samples:
            found = sample['pred_sem_seg']['data'].squeeze().cpu().numpy()
            truth = sample['gt_sem_seg']['data'].squeeze().cpu().numpy()
            if found.max() > 1:
                raise ValueError(
                    f'a label is {found.max()}, but the zero-shot protocol '
                    'has two names an image: the dataset must give `text`'
                )
            ignore = truth == self.ignore_index
            counts = overlaps(found, truth, ignore)
            self.results.append((sample['class_id'], counts))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return ``mIoU`` and ``FB-IoU`` in percent."""
        classes, counts = zip(*results)
        miou, fb_iou, _ = iou_of_fold(
            np.array(counts), np.array(classes), self.dataset_meta['class_ids']
        )
        return {'mIoU': miou, 'FB-IoU': fb_iou}
