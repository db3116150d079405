"""IoU of the masks of phrases, as on PhraseCut.

P phrases of an image, N detected masks, G true masks; H, W pixels of the
original image.
"""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mmclip.registry import METRICS


@METRICS.register_module()
class PhraseCutIoU(BaseMetric):
    """Measure how well the union of a phrase's masks covers its objects.

    PhraseCut (Wu et al., 2020), as GLIPv2 reports it. Figures are fractions:
    ``mIoU``, the mean over phrases; ``cIoU``, all intersections over all
    unions; ``P@0.5``, ``P@0.7``, ``P@0.9``, the share of phrases of at least
    that IoU; -1 without any phrase.

    Samples need ``gt_instances.masks`` with ``labels``, the phrase of each,
    and predictions with masks, labels and scores. A phrase that is nowhere in
    the truth is left out; one that nothing is detected for counts 0.

    Args:
        score_thr: Least score of a mask that counts.
        best_if_none: Whether a phrase without such a mask takes its best one.
        collect_device: As in mmengine.
        prefix: Likewise.
    """

    default_prefix = 'phrasecut'

    def __init__(
        self,
        score_thr: float = 0.5,
        best_if_none: bool = True,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.score_thr = score_thr
        self.best_if_none = best_if_none

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Count the pixels of every phrase; one entry a sample."""
        for sample in data_samples:
            self.results.append(self.of_sample(sample))

    def of_sample(self, sample: dict) -> list[tuple[int, int]]:
        """Return intersection and union of each phrase.

        Raises:
            ValueError: There are no masks.
        """
        found, truth = sample['pred_instances'], sample['gt_instances']
        if 'masks' not in found:
            raise ValueError(
                'the predictions have no masks: PhraseCut measures masks, '
                'give the detector a mask head'
            )
        wanted = as_masks(truth['masks'])  # (G, H, W)
        masks = as_masks(found['masks'])  # (N, H, W)
        owners = np.asarray(truth['labels'])
        labels = np.asarray(found['labels'])
        scores = np.asarray(found['scores'])
        counted = []
        for phrase in np.unique(owners):
            own = self.chosen(scores, np.flatnonzero(labels == phrase))
            counted.append(pixels(masks[own], wanted[owners == phrase]))
        return counted

    def chosen(self, scores: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Return those of a phrase's masks that count."""
        sure = own[scores[own] >= self.score_thr]
        if len(sure) or not len(own) or not self.best_if_none:
            return sure
        return own[[scores[own].argmax()]]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the figures."""
        counted = [phrase for sample in results for phrase in sample]
        if not counted:
            return dict.fromkeys(
                ('mIoU', 'cIoU', 'P@0.5', 'P@0.7', 'P@0.9'), -1.0
            )
        both = np.array(counted, float)  # (phrases, 2)
        iou = both[:, 0] / both[:, 1].clip(min=1)
        total = both.sum(axis=0)
        figures = dict(
            mIoU=float(iou.mean()), cIoU=float(total[0] / max(total[1], 1))
        )
        for least in (0.5, 0.7, 0.9):
            figures[f'P@{least}'] = float((iou >= least).mean())
        MMLogger.get_current_instance().info(
            f'{len(iou)} phrases: '
            + ', '.join(f'{k} {100 * v:.1f}' for k, v in figures.items())
        )
        return figures


def as_masks(masks) -> np.ndarray:
    """Return bool (N, H, W) of tensors, mmdet's masks or run lengths."""
    if hasattr(masks, 'to_ndarray'):
        return masks.to_ndarray().astype(bool)
    if hasattr(masks, 'detach'):
        return masks.detach().cpu().numpy().astype(bool)
    if len(masks) and isinstance(masks[0], dict):
        from pycocotools.mask import decode

        return np.stack([decode(mask) for mask in masks]).astype(bool)
    return np.asarray(masks, bool)


def pixels(found: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Count intersection and union of the unions of masks.

    Raises:
        ValueError: They are of images of different sizes.
    """
    wanted = truth.any(axis=0)  # (H, W)
    if not len(found):
        return 0, int(wanted.sum())
    if found.shape[1:] != wanted.shape:
        raise ValueError(
            f'detected masks are {found.shape[1:]} but true ones '
            f'{wanted.shape}: load annotations after the resizing, so that '
            'they keep the original size'
        )
    union = found.any(axis=0)
    return int((union & wanted).sum()), int((union | wanted).sum())
