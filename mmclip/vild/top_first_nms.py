"""Per-class NMS of class-agnostic boxes, the best candidates first.

R regions, K names, N candidates (a region under a name), M detections, E
pairs of candidates where the better one would suppress the other.
"""

import torch
from torch import Tensor
from torchvision.ops import nms

from mmclip.registry import TASK_UTILS

MOST_PAIRS = 8_000_000  # of one pass; beyond, class after class saves memory


@TASK_UTILS.register_module()
class TopFirstNMS:
    """Keep what per-class NMS keeps, at a cost that no threshold changes.

    All names share the boxes, so a region is a candidate under every name:
    1000 x 1203 of them on LVIS, of which 300 detections are wanted. Only a
    better candidate suppresses one, so the best N of all names are enough as
    soon as as many of them survive as are wanted; otherwise N grows. The
    result is that of NMS over every candidate above ``score_thr``, be it 0.

    Candidates rank by score; equal scores by region, then by label, lower
    ones first. Overlaps are computed in float64 whatever the boxes are, and
    a candidate goes where its IoU with a kept one is above
    ``iou_threshold``. Boxes without area suppress nothing.

    Args:
        iou_threshold: As for NMS (ViLD: 0.5).
        first: Candidates of the first pass; a later one takes four times as
            many.

    Example:
        >>> boxes = [[0.0, 0, 8, 8], [0, 0, 8, 7], [9, 9, 12, 12]]
        >>> scores = torch.tensor([[0.9], [0.8], [0.7]])
        >>> detections, labels, regions = TopFirstNMS()(
        ...     torch.tensor(boxes), scores
        ... )
        >>> regions
        tensor([0, 2])
    """

    def __init__(self, iou_threshold: float = 0.5, first: int = 2000):
        if not 0 <= iou_threshold <= 1:
            raise ValueError(
                f'iou_threshold is a share from 0 to 1, got {iou_threshold}'
            )
        if first < 1:
            raise ValueError(f'first is at least 1, got {first}')
        self.iou_threshold, self.first = iou_threshold, first

    def __call__(
        self,
        boxes: Tensor,
        scores: Tensor,
        score_thr: float = 0.0,
        max_per_img: int = 300,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the detections of an image, best first.

        Args:
            boxes: xyxy boxes (R, 4), the same for all names.
            scores: (R, K), without a background column.
            score_thr: Only scores above it are candidates.
            max_per_img: Detections wanted; 0 or less wants all.

        Returns:
            Boxes with their scores (M, 5), labels (M,) and regions (M,).

        Raises:
            ValueError: Shapes do not fit, or a score is NaN.
        """
        check_shapes(boxes, scores)
        names = scores.shape[1]
        flat = scores.reshape(-1)  # (R * K,)
        wanted = max_per_img if max_per_img > 0 else len(flat)
        count = max(self.first, 2 * wanted)
        while True:
            best = top_candidates(flat, count, score_thr)  # (N,)
            region, label = best // max(names, 1), best % max(names, 1)
            kept = survivors(boxes, region, label, self.iou_threshold)
            if len(kept) >= wanted or len(best) < count:
                break
            count *= 4
        kept = kept[:wanted]
        region, label = region[kept], label[kept]
        found = flat[best[kept], None]
        return torch.cat((boxes[region], found), dim=1), label, region


def check_shapes(boxes: Tensor, scores: Tensor) -> None:
    """Raise a ValueError where boxes and scores do not belong together."""
    fit = boxes.ndim == scores.ndim == 2 and boxes.shape[1] == 4
    if not fit or len(boxes) != len(scores):
        raise ValueError(
            f'got boxes {tuple(boxes.shape)} and scores '
            f'{tuple(scores.shape)}, expected (R, 4) and (R, K): boxes are '
            'class-agnostic, and the background column is cut off'
        )


def top_candidates(scores: Tensor, count: int, score_thr: float) -> Tensor:
    """Return where the ``count`` best scores above a threshold stand.

    Args:
        scores: (R * K,).
        count: The most that are returned.
        score_thr: Only scores above it count.

    Returns:
        Indices (N,), best first; equal scores in their own order.

    Raises:
        ValueError: A score is NaN.
    """
    if not len(scores):
        return torch.zeros(0, dtype=torch.long, device=scores.device)
    best = scores.topk(min(count, len(scores)), sorted=False).values
    lowest, highest = best.min(), best.max()  # NaN ranks first in topk
    if highest.isnan():
        raise ValueError(
            f'{int(scores.isnan().sum())} of {len(scores)} scores are NaN: '
            'the weights or the text embeddings have diverged'
        )
    tied = (scores >= lowest) & (scores > score_thr)
    where = tied.nonzero().squeeze(1)
    order = scores[where].argsort(descending=True, stable=True)
    return where[order[:count]]


def survivors(
    boxes: Tensor, region: Tensor, label: Tensor, iou_threshold: float
) -> Tensor:
    """Return which candidates NMS within each label keeps.

    Args:
        boxes: (R, 4).
        region: Box of each candidate (N,), best candidate first.
        label: Name of each candidate (N,).
        iou_threshold: IoU above which the better candidate alone stays.

    Returns:
        Ranks (M,), rising.
    """
    used, region = region.unique(return_inverse=True)
    boxes = boxes[used].double()
    by_label = label.argsort(stable=True)  # (N,), best first in each label
    label = label[by_label]
    start = torch.searchsorted(label, label)  # of each one's label
    place = torch.arange(len(label), device=label.device)
    if int((place - start).sum()) > MOST_PAIRS:
        return label_by_label(boxes[region], by_label, label, iou_threshold)
    pairs = better_pairs(start, place)  # (2, E): better one, other one
    overlap = box_overlaps(boxes) > iou_threshold
    rows, columns = region[by_label[pairs]]
    pairs = pairs[:, overlap[rows, columns]]
    keep = torch.empty_like(label, dtype=torch.bool)
    keep[by_label] = greedy(pairs, len(label))
    return keep.nonzero().squeeze(1)


def better_pairs(start: Tensor, place: Tensor) -> Tensor:
    """Pair every candidate with each better one of its label: (2, E)."""
    counts = place - start
    other = place.repeat_interleave(counts)
    within = torch.arange(len(other), device=place.device)
    first = (counts.cumsum(0) - counts).repeat_interleave(counts)
    return torch.stack((start[other] + within - first, other))


def box_overlaps(boxes: Tensor) -> Tensor:
    """Return the IoU of all pairs (R, R), in torchvision's arithmetic."""
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    width, height = (high - low).clamp(min=0).unbind(-1)
    inter = width * height  # (R, R)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return inter / (area[:, None] + area[None] - inter)


def greedy(pairs: Tensor, count: int) -> Tensor:
    """Keep each candidate that no kept better one suppresses: (count,).

    The rule has one solution. Repeated from "all are kept", it is right for
    the best candidate of each chain after one round, for the next after
    two, and has been found when nothing changes: a few rounds in practice.

    Args:
        pairs: (2, E), where the first would suppress the second.
        count: Number of candidates.
    """
    better, other = pairs
    keep = torch.ones(count, dtype=torch.bool, device=pairs.device)
    while True:
        follows = torch.ones_like(keep)
        follows[other[keep[better]]] = False
        if torch.equal(follows, keep):
            return keep
        keep = follows


def label_by_label(
    boxes: Tensor, by_label: Tensor, label: Tensor, iou_threshold: float
) -> Tensor:
    """Return what :func:`survivors` does, one label after the other.

    Args:
        boxes: Box of each candidate (N, 4), best first.
        by_label: Ranks sorted by label (N,).
        label: Their labels, rising (N,).
        iou_threshold: As for NMS.
    """
    sizes = label.unique_consecutive(return_counts=True)[1]
    kept = [
        ranks[nms(boxes[ranks], -ranks.double(), iou_threshold)]
        for ranks in by_label.split(sizes.tolist())
    ]
    return torch.cat(kept).sort().values
