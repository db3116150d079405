"""Set the caption of a training image among captions of other images."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from os import PathLike

import numpy as np

from mmclip.glip.caption_transform import CaptionTransform
from mmclip.glip.class_captions import keep_boxes, shuffled
from mmclip.glip.grounding import SEPARATOR, check_spans
from mmclip.registry import TRANSFORMS

UNBOXED = ('negative', 'ignore')
ARTICLE = re.compile(r'^(?:an?|the)\s+', re.IGNORECASE)


@TRANSFORMS.register_module()
class PackNegativeCaptions(CaptionTransform):
    """Put other captions around an image's own one, as negative words.

    GLIP (``caption.py`` of microsoft/GLIP): not at all in ``no_pack_prob`` of
    the cases, else ``num`` others in ``full_pack_prob`` of them and else a
    random number. The own caption is never cut for others. One too long by
    itself is cut behind the last whole token; phrases that are lost go with
    their boxes. Captions that say one of the own phrases are no negatives
    and are left out, unlike the published code.

    It also turns what mmdet's ODVGDataset reads into ``tokens_positive``, so
    it is needed without ``captions`` too. Images without phrases pass.

    Required: ``text`` (the caption), ``phrases`` (label to a dict with
    ``tokens_positive``), ``gt_bboxes_labels`` (N,); ``unboxed`` (spans of
    phrases without box, see :class:`mmclip.glip.dataset.GroundingDataset`)
    is read where it is there.

    Changed: ``text``, and boxes whose phrase is lost go.

    Added: ``tokens_positive`` (label to spans), ``true_spans`` (the span of
    the own caption, if it is not empty), ``tokens_ignored`` (spans that no
    region learns from).

    Args:
        tokenizer: See :func:`mmclip.glip.tokenizer.build_tokenizer`.
        captions: Captions to draw from, or ODVG files (``.jsonl``) with them;
            None packs nothing.
        num: Most captions packed.
        no_pack_prob: How often none is.
        full_pack_prob: Of the other cases, how often ``num`` are.
        max_tokens: Of the caption; by default the tokenizer's.
        pool_size: Most captions kept in memory, spread over the files.
        unboxed: What regions learn from phrases that the teacher drew no box
            for: ``'negative'``, that the image does not show them, as in
            microsoft/GLIP, or ``'ignore'``, nothing, as the caption says that
            it does.
    """

    def __init__(
        self,
        tokenizer,
        captions: Sequence[str] | str | None = None,
        num: int = 20,
        no_pack_prob: float = 0.4,
        full_pack_prob: float = 0.5,
        max_tokens: int | None = None,
        pool_size: int = 100_000,
        unboxed: str = 'negative',
    ) -> None:
        if unboxed not in UNBOXED:
            raise ValueError(f"unboxed='{unboxed}': expected one of {UNBOXED}")
        super().__init__(tokenizer, max_tokens)
        self.captions = [captions] if isinstance(captions, str) else captions
        self.num = num
        self.no_pack_prob = no_pack_prob
        self.full_pack_prob = full_pack_prob
        self.pool_size = pool_size
        self.unboxed = unboxed

    @cached_property
    def pool(self) -> list[str]:
        """Return the captions to draw from."""
        read = [
            caption
            for source in self.captions or ()
            for caption in captions_of(source, self.pool_size)
        ]
        return thinned(read, self.pool_size)

    def transform(self, results: dict) -> dict:
        """Write the caption and move the spans."""
        if 'phrases' not in results:
            return results
        caption, spans = own_phrases(results)
        ignored = self.ignored(caption, results)
        caption, spans = self.cut(caption, spans)
        ignored = [span for span in ignored if span[1] <= len(caption)]
        labels = np.asarray(results['gt_bboxes_labels'])
        keep_boxes(results, np.isin(labels, list(spans)))
        said = [span for own in spans.values() for span in own]
        others = self.draw(caption, said + ignored)
        text, start = self.pack(caption, others)
        results.update(
            text=text,
            tokens_positive={
                label: [[a + start, b + start] for a, b in own]
                for label, own in spans.items()
            },
            true_spans=[[start, start + len(caption)]] if caption else [],
            tokens_ignored=[[a + start, b + start] for a, b in ignored],
        )
        return results

    def ignored(self, caption: str, results: dict) -> list[list[int]]:
        """Return the spans that no region learns from.

        Raises:
            ValueError: One is not in the caption; the image is named.
        """
        if self.unboxed == 'negative':
            return []
        spans = [nested(own) for own in results.get('unboxed', ())]
        check_own_spans(caption, spans, results)
        return [span for own in spans for span in own]

    def cut(self, caption: str, spans: dict) -> tuple[str, dict]:
        """Shorten a caption to the tokens; return what is left of both."""
        pieces = list(self.tokenizer.pieces(caption))
        room = self.max_tokens - 2  # start and end
        if len(pieces) <= room:
            return caption, spans
        while room and pieces[room - 1][2] > pieces[room][1]:
            room -= 1  # one character's tokens stay together
        stop = pieces[room - 1][2] if room else 0
        left = {
            label: [span for span in own if span[1] <= stop]
            for label, own in spans.items()
        }
        return caption[:stop], {k: own for k, own in left.items() if own}

    def draw(self, caption: str, spans: list[list[int]]) -> list[str]:
        """Draw other captions, none of which says one of the phrases."""
        if not self.pool or np.random.rand() < self.no_pack_prob:
            return []
        count = self.num
        if np.random.rand() >= self.full_pack_prob:
            count = np.random.randint(self.num) + 1
        repeats = pattern_of([caption[a:b] for a, b in spans])
        rows = np.random.randint(len(self.pool), size=2 * count)
        drawn = dict.fromkeys(self.pool[row] for row in rows)
        drawn.pop(caption, None)
        return [c for c in drawn if not repeats or not repeats.search(c)][
            :count
        ]

    def pack(self, caption: str, others: list[str]) -> tuple[str, int]:
        """Join the captions in random order.

        Returns:
            The text, and where ``caption`` begins in it.
        """
        count = self.tokenizer.count
        room = self.max_tokens - 2 - count(ended(caption))
        kept = []
        for other in others:
            room -= count(ended(other))
            if room < 0:
                break
            kept.append(other)
        order = shuffled([None, *kept])
        text, start = '', 0
        for k, part in enumerate(order):
            if part is None:
                part, start = caption, len(text)
            text += ended(part) if k < len(order) - 1 else part
        return text, start


def own_phrases(results: dict) -> tuple[str, dict[int, list]]:
    """Return an image's caption and the spans of its phrases by label.

    Raises:
        ValueError: A phrase is not in the caption; the image is named.
        KeyError: A box has a label without phrase.
    """
    caption, where = results['text'], results.get('img_path')
    if not isinstance(caption, str):
        raise TypeError(
            f'{where}: text is {type(caption).__name__}: expected the caption '
            'that the phrases stand in'
        )
    spans = {
        int(label): nested(phrase['tokens_positive'])
        for label, phrase in results['phrases'].items()
    }
    check_own_spans(caption, list(spans.values()), results)
    lost = set(np.asarray(results['gt_bboxes_labels']).tolist()) - set(spans)
    if lost:
        raise KeyError(
            f'{where}: boxes have the labels {sorted(lost)} but phrases are '
            f'known of {sorted(spans)}'
        )
    return caption, spans


def check_own_spans(caption: str, spans: list, results: dict) -> None:
    """Refuse spans outside an image's caption, naming the image."""
    try:
        check_spans(caption, spans)
    except ValueError as error:
        raise ValueError(f'{results.get("img_path")}: {error}') from error


def nested(spans) -> list[list[int]]:
    """Return ``[[start, stop], ...]`` also of a single ``[start, stop]``."""
    spans = list(spans)
    if spans and not isinstance(spans[0], Sequence):
        return [spans]
    return [list(span) for span in spans]


def ended(caption: str) -> str:
    """Return a caption with what stands between it and the next."""
    if not caption:
        return ''
    bare = caption.rstrip()
    return caption + (' ' if bare.endswith('.') else SEPARATOR)


def pattern_of(phrases: Sequence[str]) -> re.Pattern | None:
    """Return what finds any of the phrases, without their articles."""
    bare = {ARTICLE.sub('', phrase.strip()) for phrase in phrases}
    either = '|'.join(sorted(re.escape(words) for words in bare if words))
    return re.compile(rf'\b(?:{either})\b', re.IGNORECASE) if either else None


def captions_of(source: str | PathLike, most: int) -> Iterator[str]:
    """Yield a caption, or at most so many of an ODVG file, evenly spread."""
    if not str(source).endswith(('.json', '.jsonl')):
        yield str(source)
        return
    with open(source, encoding='utf8') as file:
        lines = sum(1 for _ in file)
        file.seek(0)
        step = max(1, -(-lines // most))
        for k, line in enumerate(file):
            if k % step == 0 and line.strip():
                grounding = json.loads(line).get('grounding')
                if isinstance(grounding, Mapping) and grounding['caption']:
                    yield grounding['caption']


def thinned(items: list, most: int) -> list:
    """Return at most so many of the items, evenly spread."""
    return items[:: max(1, -(-len(items) // most))]
