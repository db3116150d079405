"""Recall of the phrases of captions, as on Flickr30k Entities.

P phrases of a caption, N detections, G boxes of a phrase. Boxes are xyxy
pixels of the original image.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmclip.evaluation.curves import percent
from mmclip.evaluation.proposal_recall import box_overlaps
from mmclip.registry import METRICS

ENTITY = re.compile(r'\[/EN#(\d+)/(\S+) ([^\]]*)\]')


@METRICS.register_module()
class Flickr30kRecall(BaseMetric):
    """Measure how often one of the best k boxes of a phrase is right.

    A phrase is found where a box overlaps one of its own with IoU .5. In
    contrast to mmdet's ``Flickr30kMetric``: boxes of a phrase can be merged,
    figures are also given for each type of phrase, detections may come in
    any order, and phrases without a box count nothing.

    Figures are fractions: ``R@1``, ``R@5``, ``R@10``, ``R@all`` and, of the
    types, ``people_R@1`` and so on; -1 without any phrase.

    Samples need ``phrases`` (P), ``phrase_ids`` (the phrase of each true
    box; by default its label, as in ODVG data), ``gt_instances.bboxes``, and
    predictions whose labels number the phrases. Types are those of
    ``phrase_types`` (a list for each phrase), or read from ``sentences``.

    Args:
        topk: Values of k; -1 counts all detections.
        iou_thr: Least IoU.
        merge_boxes: Whether a phrase of several boxes is to be found by the
            box around them (the merged-boxes protocol) instead of any.
        sentences: Folder ``Sentences`` of Flickr30k Entities.
        collect_device: As in mmengine.
        prefix: Likewise.
    """

    default_prefix = 'flickr30k'

    def __init__(
        self,
        topk: Sequence[int] = (1, 5, 10, -1),
        iou_thr: float = 0.5,
        merge_boxes: bool = False,
        sentences: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if any(k != -1 and k < 1 for k in topk):
            raise ValueError(f'topk={topk}: expected -1 or positive numbers')
        self.topk = tuple(topk)
        self.iou_thr = iou_thr
        self.merge_boxes = merge_boxes
        self.sentences = sentences

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keep the rank of the first right box of every phrase."""
        for sample in data_samples:
            found = sample['pred_instances']
            ranks = first_right(
                as_array(found['bboxes']).reshape(-1, 4),
                as_array(found['scores']),
                as_array(found['labels']),
                as_array(sample['gt_instances']['bboxes']).reshape(-1, 4),
                phrase_ids(sample),
                self.iou_thr,
                self.merge_boxes,
            )
            types = self.types_of(sample)
            self.results.append(
                [(rank, tuple(types[i])) for i, rank in ranks.items()]
            )  # one entry a sample, as mmengine counts them

    def types_of(self, sample: dict) -> list[Sequence[str]]:
        """Return the types of each phrase of a sample."""
        if 'phrase_types' in sample:
            return sample['phrase_types']
        if self.sentences is None:
            return [()] * len(sample['phrases'])
        name = Path(sample['img_path']).stem
        entities = read_sentences(str(Path(self.sentences) / f'{name}.txt'))
        return match_types(
            sample['text'],
            sample['phrases'],
            sample['tokens_positive'],
            entities,
        )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the figures, all phrases first."""
        phrases = [phrase for sample in results for phrase in sample]
        groups = {'': [rank for rank, _ in phrases]}
        for rank, types in phrases:
            for kind in types:
                groups.setdefault(f'{kind}_', []).append(rank)
        figures = {
            f'{group}R@{"all" if k == -1 else k}': recall(ranks, k)
            for group, ranks in groups.items()
            for k in self.topk
        }
        self.log_table(groups)
        return figures

    def log_table(self, groups: dict[str, list]) -> None:
        """Log the recall in percent, one row a type."""
        names = ['all' if k == -1 else str(k) for k in self.topk]
        rows = [['', 'phrases', *(f'R@{name}' for name in names)]]
        for group, ranks in groups.items():
            found = [percent(recall(ranks, k)) for k in self.topk]
            rows.append([group.rstrip('_') or 'all', len(ranks), *found])
        MMLogger.get_current_instance().info('\n' + AsciiTable(rows).table)


def as_array(values) -> np.ndarray:
    """Return the numbers of a tensor, of mmdet's boxes or of a list."""
    values = getattr(values, 'tensor', values)
    if hasattr(values, 'detach'):
        values = values.detach().cpu().float()
    return np.asarray(values, float)


def phrase_ids(sample: dict) -> Sequence[int]:
    """Return the phrase of each true box of a sample."""
    if 'phrase_ids' in sample:
        return sample['phrase_ids']
    return sample['gt_instances']['labels'].tolist()


def first_right(
    boxes, scores, labels, truth, phrase_ids, iou_thr, merge
) -> dict[int, float]:
    """Return at which rank, from 0, each phrase that has a box is found.

    Args:
        boxes: (N, 4).
        scores: (N,).
        labels: The phrase of each detection, (N,).
        truth: (sum of G, 4).
        phrase_ids: The phrase of each true box.
        iou_thr: Least IoU.
        merge: Whether a phrase's boxes are merged into the one around them.

    Returns:
        Rank by phrase; infinity where it is never found.

    Raises:
        ValueError: There are not as many phrases as boxes.
    """
    owners = np.asarray(phrase_ids, int).reshape(-1)
    if len(owners) != len(truth):
        raise ValueError(
            f'{len(truth)} true boxes need as many phrase_ids, got '
            f'{len(owners)}: keep boxes and phrases together in the pipeline'
        )
    ranks = {}
    for phrase in np.unique(owners).tolist():
        own = np.flatnonzero(labels == phrase)
        own = own[np.argsort(-scores[own], kind='stable')]
        wanted = truth[owners == phrase]  # (G, 4)
        if merge:
            wanted = merged(wanted)
        right = (box_overlaps(boxes[own], wanted) >= iou_thr).any(axis=1)
        hits = np.flatnonzero(right)
        ranks[phrase] = float(hits[0]) if len(hits) else np.inf
    return ranks


def merged(boxes: np.ndarray) -> np.ndarray:
    """Return the box around all boxes, (1, 4)."""
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return np.concatenate((low, high))[None]


def recall(ranks: Sequence[float], k: int) -> float:
    """Return the share of ranks within k, all finite ones for -1."""
    if not ranks:
        return -1.0
    return float(np.mean(np.array(ranks) < (np.inf if k == -1 else k)))


Entities = list[tuple[str, dict[int, tuple[str, list[str]]]]]


@cache
def read_sentences(path: str) -> Entities:
    """Read the captions of an image of Flickr30k Entities.

    Returns:
        Each caption without marks, and phrase and types by the character at
        which the phrase begins.

    Raises:
        FileNotFoundError: There is no such file.
    """
    found = []
    for line in Path(path).read_text(encoding='utf8').splitlines():
        plain, phrases, last = '', {}, 0
        for match in ENTITY.finditer(line):
            plain += line[last : match.start()]
            phrases[len(plain)] = (match[3], match[2].split('/'))
            plain += match[3]
            last = match.end()
        found.append((plain + line[last:], phrases))
    return found


def match_types(
    caption: str, phrases: Sequence[str], tokens_positive, entities: Entities
) -> list[list[str]]:
    """Return the types of each phrase of a caption.

    The caption is found without regard to case and white space; a phrase by
    where it begins, else by its words.

    Raises:
        ValueError: The caption is not among the entities' ones.
    """
    by_caption = {normal(plain): own for plain, own in entities}
    if normal(caption) not in by_caption:
        raise ValueError(
            f'the caption {caption[:60]!r} is not among the {len(entities)} '
            'of its Sentences file: give the folder of the same data set'
        )
    known = by_caption[normal(caption)]
    by_words = {normal(words): types for words, types in known.values()}
    found = []
    for phrase, spans in zip(phrases, tokens_positive):
        words, types = known.get(spans[0][0], ('', []))
        if normal(words) != normal(phrase):
            types = by_words.get(normal(phrase), [])
        found.append(types)
    return found


def normal(text: str) -> str:
    """Return lower-case letters without white space."""
    return ''.join(text.lower().split())
