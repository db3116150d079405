"""How many objects of each group of classes the proposals cover.

N proposals and G objects of an image, T IoU thresholds (.50:.05:.95).
Boxes are xyxy pixels of the original image.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from mmdet.evaluation.metrics import CocoMetric
from mmengine.fileio import get_local_path, load
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmclip.evaluation.curves import percent
from mmclip.registry import METRICS

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
LIMITS = (100, 300, 1000)
MISSED = np.iinfo(np.int64).max
FREQUENCIES = {'r': ('r', 'novel'), 'c': ('c', 'base'), 'f': ('f', 'base')}


def proposal_recall(
    images: Iterable[tuple],
    limits: Sequence[int] = LIMITS,
    groups: Iterable[Hashable] = (),
) -> dict[str, dict[int, float]]:
    """Average the recall of proposals over IoU thresholds, by group.

    As COCO's average recall without classes: in the order of their scores,
    proposals take the object that they overlap most, each object once, the
    objects of every group by themselves.

    Args:
        images: For each image the proposals (N, 4), best first, or (N, 5)
            with scores; the objects (G, 4) without crowds; and the group of
            each object, G hashable things. Several groups of one object are
            a tuple. Any iterable, read once.
        limits: How many proposals of an image count.
        groups: Groups to report even if no object is theirs.

    Returns:
        ``{group: {limit: recall}}`` with the group 'all' first; -1 where a
        group has no object.

    Raises:
        ValueError: Shapes do not fit.
    """
    ranks = {group: [] for group in ('all', *groups)}
    for proposals, objects, members in images:
        proposals, objects = check_boxes(proposals, objects, members)
        members = {'all': np.arange(len(objects)), **positions_of(members)}
        overlaps = box_overlaps(proposals[: max(limits)], objects)  # (N, G)
        for group, those in members.items():
            found = first_hits(overlaps[:, those])  # (T, G)
            ranks.setdefault(group, []).append(found)
    return {
        group: {limit: average_recall(found, limit) for limit in limits}
        for group, found in ranks.items()
    }


def check_boxes(proposals, objects, groups) -> tuple[np.ndarray, np.ndarray]:
    """Return proposals, best first, and objects as float64.

    Raises:
        ValueError: Shapes do not fit.
    """
    proposals = np.asarray(proposals, float)
    objects = np.asarray(objects, float).reshape(-1, 4)
    if proposals.ndim != 2 or proposals.shape[1] not in (4, 5):
        raise ValueError(
            f'proposals are (N, 4) or (N, 5) with scores, got shape '
            f'{proposals.shape}'
        )
    if len(groups) != len(objects):
        raise ValueError(
            f'{len(objects)} objects need as many groups, got {len(groups)}'
        )
    if proposals.shape[1] == 5:
        order = np.argsort(-proposals[:, 4], kind='stable')
        proposals = proposals[order]
    return proposals[:, :4], objects


def positions_of(groups: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """Return the objects of each group."""
    members = {}
    for i, group in enumerate(groups):
        for one in group if isinstance(group, tuple) else (group,):
            members.setdefault(one, []).append(i)
    return members


def box_overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU of every pair, 0 where both have no area."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inter = np.prod(np.clip(high - low, 0, None), axis=2)
    area, other = (
        np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, others)
    )
    union = area[:, None] + other[None] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def first_hits(overlaps: np.ndarray) -> np.ndarray:
    """Return the rank of the proposal that takes each object.

    Args:
        overlaps: IoU (N, G), the best proposal first.

    Returns:
        (T, G) ranks from 0; MISSED where no proposal takes the object.
    """
    objects = overlaps.shape[1]
    ranks = np.full((len(IOU_THRESHOLDS), objects), MISSED)
    rows = np.arange(len(ranks))
    near = (overlaps >= IOU_THRESHOLDS[0]).any(axis=1).nonzero()[0]
    for rank in near:
        free = np.where(ranks == MISSED, overlaps[rank], -1)  # (T, G)
        # the last of equal ones, as COCO takes it
        best = objects - 1 - free[:, ::-1].argmax(axis=1)
        hit = free[rows, best] >= IOU_THRESHOLDS
        ranks[rows[hit], best[hit]] = rank
    return ranks


def average_recall(ranks: Sequence[np.ndarray], limit: int) -> float:
    """Return the share of objects taken within ``limit`` proposals.

    Args:
        ranks: (T, G) of each image.
        limit: How many proposals of an image count.
    """
    objects = sum(found.shape[1] for found in ranks)
    if not objects:
        return -1.0
    hits = sum(int((found < limit).sum()) for found in ranks)
    return hits / objects / len(IOU_THRESHOLDS)


@METRICS.register_module()
class OVProposalRecall(CocoMetric):
    """Average recall of class-agnostic proposals for each group of classes.

    Groups are those of the dataset's metainfo (``<group>_classes``) or, where
    the categories of ``ann_file`` have LVIS's letters, r, c, f, base (c and
    f) and novel (r). Classes of no group are left out. Figures are fractions:
    ``proposal/AR@300``, ``proposal/novel_AR@300``. mmdet's LVISMetric has the
    name of such a measure, but compares classes all the same.

    Args:
        ann_file: Annotation file; without it the ground truth is the
            ``instances`` of each sample.
        limits: How many proposals of an image count (ViLD, table 1).
        **kwargs: As for mmdet's CocoMetric.
    """

    default_prefix = 'proposal'

    def __init__(
        self,
        ann_file: str | None = None,
        limits: Sequence[int] = LIMITS,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.ann_file, self.limits = ann_file, tuple(limits)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the best proposals of each image.

        Raises:
            ValueError: A sample has no ``instances`` and there is no file.
        """
        for sample in data_samples:
            found = sample['pred_instances']
            scores = found['scores'].cpu().numpy()
            order = np.argsort(-scores, kind='stable')[: max(self.limits)]
            truth = sample.get('instances')
            if truth is None and self.ann_file is None:
                raise ValueError(
                    'OVProposalRecall has no ground truth: give it ann_file, '
                    "or add 'instances' to the meta_keys of PackDetInputs"
                )
            boxes = found['bboxes'].cpu().numpy()[order]  # (N, 4)
            truth = None if self.ann_file else truth
            self.results.append((sample['img_id'], boxes, truth))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the recall of every group and limit."""
        seen = {image: (boxes, truth) for image, boxes, truth in results}
        none = np.zeros((0, 4))
        if self.ann_file is None:
            groups = self._groups()
            truths = {
                i: self._of_sample(t, groups) for i, (_, t) in seen.items()
            }
        else:
            truths, groups = self._of_file()
        recalls = proposal_recall(
            (
                (seen.get(image, (none,))[0], *truth)
                for image, truth in truths.items()
            ),
            self.limits,
            dict.fromkeys(sum(groups.values(), ())),
        )
        log_table(recalls)
        return {
            f'{"" if group == "all" else group + "_"}AR@{limit}': value
            for group, row in recalls.items()
            for limit, value in row.items()
        }

    def _groups(self) -> dict[str, tuple[str, ...]]:
        """Return the groups of each class of the dataset."""
        groups = {name: () for name in self.dataset_meta['classes']}
        for key, names in self.dataset_meta.items():
            if key.endswith('_classes'):
                for name in set(names) & set(groups):
                    groups[name] += (key.removesuffix('_classes'),)
        return groups

    def _of_sample(self, instances: list[dict], groups: dict) -> tuple:
        """Return the objects and groups of a sample."""
        names = self.dataset_meta['classes']
        kept = [i for i in instances if not i.get('ignore_flag')]
        return (
            np.array([i['bbox'] for i in kept], float).reshape(-1, 4),
            [groups[names[i['bbox_label']]] for i in kept],
        )

    def _of_file(self) -> tuple[dict[int, tuple], dict[int, tuple]]:
        """Return objects of every image, and the groups of categories."""
        with get_local_path(
            self.ann_file, backend_args=self.backend_args
        ) as path:
            content = load(path)
        categories = content['categories']
        if all(c.get('frequency') in FREQUENCIES for c in categories):
            groups = {c['id']: FREQUENCIES[c['frequency']] for c in categories}
        else:
            known = self._groups()
            groups = {
                c['id']: known[c['name']]
                for c in categories
                if c['name'] in known
            }
        truths = {image['id']: ([], []) for image in content['images']}
        for annotation in content['annotations']:
            category = annotation['category_id']
            if category in groups and not annotation.get('iscrowd'):
                x, y, width, height = annotation['bbox']
                boxes, members = truths[annotation['image_id']]
                boxes.append((x, y, x + width, y + height))
                members.append(groups[category])
        return truths, groups


def log_table(recalls: dict[str, dict[int, float]]) -> None:
    """Log the recall in percent, one row a group."""
    limits = list(recalls['all'])
    rows = [['', *(f'AR@{limit}' for limit in limits)]]
    for group, row in recalls.items():
        rows.append([group, *(percent(row[limit]) for limit in limits)])
    MMLogger.get_current_instance().info('\n' + AsciiTable(rows).table)
