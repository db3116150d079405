"""The detections of a whole test set, as columns.

N detections of all images. A box is x, y, width, height in pixels of the
original image. As columns, LVIS's 6 million take .3 GB; as the records of
COCO's result format they would take ten times as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Hold N detections.

    Attributes:
        image_ids: (N,).
        category_ids: (N,), the annotation file's.
        scores: (N,).
        boxes: (N, 4), xywh; zeros where only masks are given.
        masks: N run-length encodings of COCO, or None.
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    masks: Sequence[dict] | None = None

    def __len__(self):
        return len(self.scores)

    @classmethod
    def from_records(cls, records: Sequence[dict]) -> 'Detections':
        """Read COCO's result format."""
        with_masks = any('segmentation' in r for r in records)
        return cls(
            np.array([r['image_id'] for r in records], np.int64),
            np.array([r['category_id'] for r in records], np.int64),
            np.array([r['score'] for r in records], float),
            np.array(
                [r.get('bbox', (0, 0, 0, 0)) for r in records], float
            ).reshape(-1, 4),
            [r['segmentation'] for r in records] if with_masks else None,
        )

    @classmethod
    def from_results(
        cls,
        results: Sequence[dict],
        category_ids: Sequence[int],
        iou_type: str = 'bbox',
    ) -> 'Detections':
        """Join what mmdet's CocoMetric keeps of each image.

        Args:
            results: ``img_id``, ``bboxes`` (n, 4) as xyxy, ``scores``,
                ``labels`` and, for 'segm', ``masks`` of each image.
                ``mask_scores`` take the place of the scores for 'segm'.
            category_ids: The annotation file's id of each label.
            iou_type: 'bbox' or 'segm'.

        Raises:
            ValueError: Masks are wanted but were not predicted.
        """
        ids = np.asarray(category_ids, np.int64)
        counts = [len(r['labels']) for r in results]
        labels = joined([r['labels'] for r in results]).astype(int)
        xyxy = joined([r['bboxes'] for r in results], 4)
        keys = ['scores'] * len(results)
        masks = None
        if iou_type == 'segm':
            masks = joined_masks(results)
            keys = [
                'mask_scores' if 'mask_scores' in r else k
                for r, k in zip(results, keys)
            ]
        return cls(
            np.repeat([r['img_id'] for r in results], counts).astype(np.int64),
            ids[labels],
            joined([r[k] for r, k in zip(results, keys)]),
            np.concatenate((xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]), axis=1),
            masks,
        )

    def table(self) -> np.ndarray:
        """Return (N, 7): image, x, y, width, height, score, category."""
        return np.column_stack(
            (self.image_ids, self.boxes, self.scores, self.category_ids)
        )

    def records(self, iou_type: str) -> list[dict]:
        """Return COCO's result format.

        Of masks no box is written, else the references would take the area
        of the box for that of the object.
        """
        rows = zip(
            self.image_ids.tolist(),
            self.category_ids.tolist(),
            self.scores.tolist(),
            self.encodings() if iou_type == 'segm' else self.boxes.tolist(),
        )
        key = 'segmentation' if iou_type == 'segm' else 'bbox'
        return [
            {'image_id': i, 'category_id': c, 'score': s, key: what}
            for i, c, s, what in rows
        ]

    def encodings(self) -> list[dict]:
        """Return the masks.

        Raises:
            ValueError: There are detections without masks.
        """
        if len(self) and self.masks is None:
            raise ValueError(
                f"{len(self)} detections have no 'segmentation': measure "
                "'bbox', or give the masks"
            )
        return list(self.masks or ())

    def take(self, index: np.ndarray) -> 'Detections':
        """Return some of the detections."""
        masks = self.masks
        return replace(
            self,
            image_ids=self.image_ids[index],
            category_ids=self.category_ids[index],
            scores=self.scores[index],
            boxes=self.boxes[index],
            masks=None if masks is None else [masks[i] for i in index],
        )

    def best_of_categories(self, count: int) -> 'Detections':
        """Keep the ``count`` best of each category over all images.

        Of equal scores the earlier one stays; the order does not change.
        """
        order = np.lexsort((-self.scores, self.category_ids))  # stable
        sorted_ids = self.category_ids[order]
        first = np.searchsorted(sorted_ids, sorted_ids)
        rank = np.arange(len(order)) - first
        return self.take(np.sort(order[rank < count]))


def joined(columns: Sequence[np.ndarray], width: int = 0) -> np.ndarray:
    """Return the rows of all images as float64: (N,) or (N, width)."""
    shape = (-1, width) if width else (-1,)
    rows = [np.asarray(c, float).reshape(shape) for c in columns]
    return np.concatenate(rows) if rows else np.zeros(0).reshape(shape)


def joined_masks(results: Sequence[dict]) -> list[dict]:
    """Return the masks of all images.

    Raises:
        ValueError: There are boxes without masks.
    """
    for result in results:
        if len(result.get('masks', ())) != len(result['labels']):
            raise ValueError(
                f'image {result["img_id"]} has {len(result["labels"])} boxes '
                f'and {len(result.get("masks", ()))} masks: measure '
                "metric='bbox' alone, or give the detector a mask head"
            )
    return [mask for result in results for mask in result.get('masks', ())]
