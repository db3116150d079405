"""Write the classes of a training image, and others, into one caption.

N boxes, R names in the caption.
"""

from collections.abc import Mapping

import numpy as np

from mmclip.glip.caption_transform import CaptionTransform
from mmclip.glip.grounding import clean_name, join_names
from mmclip.registry import TRANSFORMS

BOX_KEYS = ('gt_bboxes', 'gt_bboxes_labels', 'gt_masks', 'gt_ignore_flags')


@TRANSFORMS.register_module()
class SampleNegativeClasses(CaptionTransform):
    """Write the classes of the boxes and random others into a caption.

    GLIP, sec. 3.1 (``od_to_grounding.py`` of microsoft/GLIP): in ``full_prob``
    of the cases as many negatives as allowed, else a random number of them;
    the order is shuffled. The caption never exceeds the tokens: of negatives
    only those that fit are taken, and positives are lost, with their boxes,
    only where they alone do not fit. Cures mmdet's ``RandomSamplingNegPos``,
    which draws positives again as negatives, changes the names it was given
    and knows neither COCO's nor LVIS's data sets. Images with phrases pass.

    Required: ``gt_bboxes_labels`` (N,), ``text``: names in a list, or by
    label in a dict (keys int or str).

    Changed: ``text`` becomes the caption, ``gt_bboxes_labels`` rows of it;
    boxes, masks and flags of lost classes go.

    Added: ``tokens_positive`` (row to spans, all R rows), ``row_names`` (the
    names, R), ``true_spans`` (spans of the positive names).

    Args:
        tokenizer: See :func:`mmclip.glip.tokenizer.build_tokenizer`.
        num_negatives: Most negatives.
        full_prob: How often as many as that are taken.
        max_tokens: Of the caption; by default the tokenizer's.
        alternatives: Sign between ways to say a class, of which one is drawn
            (Objects365); None where there is no such sign.
    """

    def __init__(
        self,
        tokenizer,
        num_negatives: int = 85,
        full_prob: float = 0.5,
        max_tokens: int | None = None,
        alternatives: str | None = '/',
    ) -> None:
        super().__init__(tokenizer, max_tokens)
        self.num_negatives = num_negatives
        self.full_prob = full_prob
        self.alternatives = alternatives
        self.lengths: dict[str, int] = {}  # tokens of names met before

    def transform(self, results: dict) -> dict:
        """Write the caption and renumber the boxes."""
        if 'phrases' in results:
            return results
        names = self.names_of(results)
        labels = np.asarray(results['gt_bboxes_labels'], np.int64)
        unknown = sorted(set(labels.tolist()) - set(names))
        if unknown:
            raise KeyError(
                f'{results.get("img_path")}: boxes have the labels {unknown} '
                f'but text names {len(names)} classes: check label_map_file '
                'and metainfo'
            )
        said = {k: self.say(name) for k, name in names.items()}
        positive = shuffled(np.unique(labels).tolist())
        kept = self.that_fit(positive, said)
        negative = self.that_fit(self.negatives(positive, names), said, kept)
        rows = shuffled(kept + negative)
        caption, spans = (
            join_names([said[k] for k in rows]) if rows else ('', [])
        )
        keep_boxes(results, np.isin(labels, kept))
        number = {k: row for row, k in enumerate(rows)}
        results['gt_bboxes_labels'] = np.array(
            [number[k] for k in labels.tolist() if k in number], np.int64
        )
        results.update(
            text=caption,
            tokens_positive=dict(enumerate(spans)),
            row_names=[names[k] for k in rows],
            true_spans=[spans[number[k]][0] for k in sorted(kept)],
        )
        return results

    def names_of(self, results: dict) -> dict[int, str]:
        """Return the name of each label.

        Raises:
            TypeError: ``text`` is no list of names.
        """
        text = results.get('text')
        if isinstance(text, Mapping):
            return {int(k): name for k, name in text.items()}
        if text is None or isinstance(text, str):
            raise TypeError(
                f'{results.get("img_path")}: text is {text!r}: expected the '
                "names of all classes; pass return_classes=True to mmdet's "
                'CocoDataset or LVISDataset, or label_map_file to ODVGDataset'
            )
        return dict(enumerate(text))

    def say(self, name: str) -> str:
        """Return a name as it goes into the caption."""
        if self.alternatives and self.alternatives in name:
            ways = [w.strip() for w in name.split(self.alternatives)]
            ways = [way for way in ways if way] or [name]
            name = ways[np.random.randint(len(ways))]
        return clean_name(name)

    def negatives(self, positive: list[int], names: dict) -> list[int]:
        """Draw labels that no box has, in random order."""
        others = sorted(set(names) - set(positive))
        most = min(self.num_negatives, len(others))
        if most and np.random.rand() >= self.full_prob:
            most = np.random.randint(most) + 1
        return shuffled(others)[:most]

    def that_fit(self, labels, said: dict, taken=()) -> list[int]:
        """Return those labels whose names fit beside the ``taken`` ones."""
        room = self.max_tokens - 2  # start and end
        last = self.length('. ')
        used = sum(self.length(said[k]) + last for k in taken)
        kept = []
        for label in labels:
            length = self.length(said[label])
            if used + length <= room:
                kept.append(label)
                used += length + last
        return kept

    def length(self, name: str) -> int:
        """Return the number of tokens of a name."""
        if name not in self.lengths:
            self.lengths[name] = self.tokenizer.count(name)
        return self.lengths[name]


def shuffled(items: list) -> list:
    """Return the items in random order."""
    return [items[i] for i in np.random.permutation(len(items))]


def keep_boxes(results: dict, keep: np.ndarray) -> None:
    """Keep some of N boxes with all that belongs to them."""
    if keep.all():
        return
    for key in BOX_KEYS:
        if key in results:
            results[key] = results[key][keep]
