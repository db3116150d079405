"""BLEU and CIDEr-D of captions, without Java.

N images, C candidate captions, one an image; references: true captions.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmclip.registry import METRICS

WORD = re.compile(r"[\w']+")  # punctuation counts nothing
LONGEST = 4  # words of an n-gram
SIGMA = 6.0  # of CIDEr-D's penalty on length
NGram = tuple[str, ...]


@METRICS.register_module()
class CaptionScores(BaseMetric):
    """Measure BLEU (Papineni et al., 2002) and CIDEr-D (Vedantam, 2015).

    The mathematics are those of the coco-caption tools; words are split by a
    rule instead of Stanford's tokenizer in Java, which differs on hyphens,
    abbreviations and the like. METEOR and SPICE need Java and are not here.

    Figures: ``Bleu_1`` ... ``Bleu_4``, ``CIDEr``; with ``candidates``,
    ``constant_Bleu_4`` and ``constant_CIDEr``: the best that one sentence
    for all images reaches, among so many of the references, chosen on the
    test itself.

    Samples need ``pred_caption`` and ``gt_caption``, a text or several.

    Args:
        candidates: How many references are tried as the constant sentence.
        collect_device: As in mmengine.
        prefix: Likewise.
    """

    default_prefix = 'caption'

    def __init__(
        self,
        candidates: int = 0,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.candidates = candidates

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keep the words of captions and references.

        Raises:
            KeyError: A sample has no caption, or no reference.
        """
        for sample in data_samples:
            for key in ('pred_caption', 'gt_caption'):
                if sample.get(key) is None:
                    raise KeyError(
                        f'an image has no {key}: CaptionScores needs the task '
                        "caption, and 'gt_caption' among the meta_keys"
                    )
            true = sample['gt_caption']
            true = [true] if isinstance(true, str) else list(true)
            self.results.append((sample['pred_caption'], true))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the figures."""
        said = [words_of(caption) for caption, _ in results]
        true = [[words_of(text) for text in own] for _, own in results]
        idf = Weights(true)
        figures = {
            f'Bleu_{n}': bleu(said, true, n) for n in range(1, LONGEST + 1)
        }
        figures['CIDEr'] = cider(said, true, idf)
        step = max(1, len(true) // max(1, self.candidates))
        tried = [own[0] for own in true[::step]][: self.candidates]
        if tried:
            same = [[words] * len(true) for words in tried]
            figures['constant_Bleu_4'] = max(bleu(s, true) for s in same)
            figures['constant_CIDEr'] = max(cider(s, true, idf) for s in same)
        rows = [
            [name, f'{100 * value:.1f}'] for name, value in figures.items()
        ]
        MMLogger.get_current_instance().info(
            '\n' + AsciiTable([['', 'x 100'], *rows]).table
        )
        return figures


def words_of(text: str) -> list[str]:
    """Split a caption into words in lower case."""
    return WORD.findall(text.lower())


def n_grams(words: Sequence[str], n: int) -> Counter:
    """Count the n-grams of a caption."""
    return Counter(zip(*(words[k:] for k in range(n))))


def bleu(said, true, longest: int = LONGEST) -> float:
    """Return the BLEU of a corpus; the closest reference sets the length.

    Args:
        said: Words of N captions.
        true: Of each the words of its references.
        longest: Most words of an n-gram.
    """
    right, total = [0] * longest, [0] * longest
    length = wanted = 0
    for words, references in zip(said, true):
        length += len(words)
        wanted += min((abs(len(r) - len(words)), len(r)) for r in references)[
            1
        ]
        for n in range(1, longest + 1):
            own, most = n_grams(words, n), Counter()
            for reference in references:
                most |= n_grams(reference, n)
            right[n - 1] += sum((own & most).values())
            total[n - 1] += max(0, len(words) - n + 1)
    if not all(right):
        return 0.0
    logs = sum(math.log(r / t) for r, t in zip(right, total)) / longest
    return math.exp(logs + min(0.0, 1 - wanted / length))


class Weights:
    """How much an n-gram says: rare ones say more.

    Args:
        true: Of each image the words of its references.
    """

    def __init__(self, true: Sequence) -> None:
        self.images: Counter = Counter()
        for references in true:
            self.images.update(
                {
                    gram
                    for words in references
                    for n in range(1, LONGEST + 1)
                    for gram in n_grams(words, n)
                }
            )
        self.total = math.log(max(len(true), 1))

    def vectors(self, words: Sequence[str]) -> list[tuple[dict, float]]:
        """Return weighted n-grams and their norm, for each n."""
        found = []
        for n in range(1, LONGEST + 1):
            own = {
                gram: count
                * (self.total - math.log(max(1, self.images[gram])))
                for gram, count in n_grams(words, n).items()
            }
            norm = math.sqrt(sum(x * x for x in own.values()))
            found.append((own, norm))
        return found


def cider(said, true, weights: Weights | None = None) -> float:
    """Return CIDEr-D, the mean over images; 10 at most.

    Args:
        said: Words of N captions.
        true: Of each the words of its references.
        weights: Of n-grams; those of ``true`` by default.
    """
    weights = weights or Weights(true)
    total = 0.0
    for words, references in zip(said, true):
        own = weights.vectors(words)
        total += sum(
            likeness(own, weights.vectors(reference))
            * length_penalty(len(words) - len(reference))
            for reference in references
        ) / len(references)
    return 10 * total / max(1, len(said))


def likeness(said: list, true: list) -> float:
    """Return the mean clipped cosine over n."""
    found = 0.0
    for (a, a_norm), (b, b_norm) in zip(said, true):
        dot = sum(
            min(x, b[gram]) * b[gram] for gram, x in a.items() if gram in b
        )
        if a_norm and b_norm:
            found += dot / (a_norm * b_norm)
    return found / LONGEST


def length_penalty(difference: int) -> float:
    """Return what remains of a caption of another length."""
    return math.exp(-(difference**2) / (2 * SIGMA**2))
