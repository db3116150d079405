"""Hide words of a caption for a model to guess."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mmclip.glip.caption_transform import CaptionTransform
from mmclip.glip.tokenizer import WordPieceTokenizer
from mmclip.registry import TRANSFORMS

WORD = re.compile(r'[^\W_]+')


class Change(NamedTuple):
    """Characters of a caption, and what stands there instead."""

    start: int
    stop: int
    text: str


@TRANSFORMS.register_module()
class MaskWords(CaptionTransform):
    """Replace some words of the caption, and remember which they were.

    As in BERT, of the words chosen 8 in 10 become ``[MASK]`` (one for each of
    its pieces), 1 in 10 another word, and 1 in 10 stays. Whole words are
    chosen, so that the caption stays text and any language model of the
    contract reads it. Only words that the image shows are chosen: negative
    classes and packed captions are not to be guessed.

    Required: ``text``, a caption. Optional: ``true_spans`` (spans to choose
    from; all by default), ``tokens_positive``, ``tokens_ignored``.

    Changed: ``text``, and the spans of all three move along.

    Added: ``masked_words``: ``[position, id]`` of each hidden token, for
    ``mmclip.MaskedWordHead``.

    Args:
        tokenizer: The language model's WordPieces, see
            :func:`mmclip.glip.tokenizer.build_tokenizer`.
        prob: How often a word is chosen.
        mask_prob: Of these, how many are masked.
        random_prob: Of these, how many become another word.

    Raises:
        TypeError: The tokenizer has no mask.
    """

    def __init__(
        self,
        tokenizer,
        prob: float = 0.15,
        mask_prob: float = 0.8,
        random_prob: float = 0.1,
    ) -> None:
        super().__init__(tokenizer)
        self.prob = prob
        self.mask_prob = mask_prob
        self.random_prob = random_prob

    @cached_property
    def tokenizer(self) -> WordPieceTokenizer:
        """Return the tokenizer, which must have a mask."""
        tokenizer = super().tokenizer
        if not isinstance(tokenizer, WordPieceTokenizer):
            raise TypeError(
                f'{type(tokenizer).__name__} has no [MASK]: masked words '
                'need mmclip.WordPieceTokenizer'
            )
        return tokenizer

    @cached_property
    def whole(self) -> list[str]:
        """Return the words that may stand for another."""
        return [p for p in self.tokenizer.vocab if p.isalpha()]

    def transform(self, results: dict) -> dict:
        """Hide words."""
        text = results['text']
        if not isinstance(text, str):
            raise TypeError(
                f'text is {type(text).__name__}: expected a caption; put '
                'mmclip.SampleNegativeClasses before mmclip.MaskWords'
            )
        before = self.tokenizer.encode(text)
        spans = results.get('true_spans', [[0, len(text)]])
        chosen = self.choose(text, spans)
        changes = [c for word in chosen if (c := self.change(text, *word))]
        changed = apply(text, changes)
        after = self.tokenizer.encode(changed)
        if len(after.ids) != len(before.ids):  # a word beside lost its border
            chosen, changes, changed = [], [], text
        results['text'] = changed
        results['masked_words'] = [
            [position, before.ids[position]]
            for position, (start, stop) in enumerate(before.spans)
            if any(a <= start < stop <= b for a, b in chosen)
        ]
        for key in ('true_spans', 'tokens_positive', 'tokens_ignored'):
            if key in results:
                results[key] = moved(results[key], changes)
        return results

    def choose(self, text: str, spans) -> list[tuple[int, int]]:
        """Choose words inside the spans."""
        found = {
            match.span()
            for match in WORD.finditer(text)
            if any(a <= match.start() and match.end() <= b for a, b in spans)
        }
        return [word for word in sorted(found) if np.random.rand() < self.prob]

    def change(self, text: str, start: int, stop: int) -> Change | None:
        """Return what becomes of a word; None where it stays."""
        count = self.tokenizer.count(text[start:stop])
        draw = np.random.rand()
        if draw < self.mask_prob:
            return Change(start, stop, ' '.join(['[MASK]'] * count))
        if draw < self.mask_prob + self.random_prob and count == 1:
            other = self.whole[np.random.randint(len(self.whole))]
            return Change(start, stop, other)
        return None


def apply(text: str, changes: Sequence[Change]) -> str:
    """Return the text after the changes, which are in order."""
    parts, last = [], 0
    for start, stop, new in changes:
        parts += [text[last:start], new]
        last = stop
    return ''.join(parts) + text[last:]


def moved(spans, changes: Sequence[Change]):
    """Move spans along; a changed word is in a span as a whole or not.

    Args:
        spans: ``[start, stop]``, or lists or a dict of such.
        changes: In order.
    """
    if isinstance(spans, Mapping):
        return {key: moved(own, changes) for key, own in spans.items()}
    if not isinstance(spans, Sequence):
        return spans  # -1: the whole caption
    if not spans or isinstance(spans[0], Sequence):
        return [moved(own, changes) for own in spans]
    start, stop = spans
    shift = {'start': 0, 'stop': 0}
    for a, b, new in changes:
        grown = len(new) - (b - a)
        if b <= start:
            shift['start'] += grown
        elif a < start:
            shift['start'] += a - start
        if b <= stop:
            shift['stop'] += grown
        elif a < stop:
            shift['stop'] += grown + b - stop
    return [start + shift['start'], stop + shift['stop']]
