"""Accuracy of answers to questions about images, as on VQA v2.

M annotators who answered a question.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmclip.evaluation.curves import percent
from mmclip.registry import METRICS

NUMBERS = (
    *('zero', 'one', 'two', 'three', 'four', 'five'),
    *('six', 'seven', 'eight', 'nine', 'ten'),
)
SIGNS = ';/[]"{}()=+\\_-><@`,?!'
ARTICLES = ('a', 'an', 'the')


@METRICS.register_module()
class VQAAccuracy(BaseMetric):
    """Measure how many annotators an answer agrees with.

    The official score of an answer is min(1, n / 3), n being how many of the
    other annotators gave it, averaged over leaving each of M out; with one
    annotator it is 1 or 0. Answers are compared in the official normal form:
    lower case, no articles, digits for number words, punctuation off.

    Figures are fractions: ``accuracy``; one for each type of question; and
    two of models that do not look: ``constant``, the best single answer to
    all questions, and ``constant_by_type``, the best for each type. Both are
    chosen on the test itself, so no such model does better.

    Samples need ``pred_answer`` and ``gt_answer`` (an answer, or those of
    all annotators), or ``gt_answer_weight`` with the share of annotators of
    each. Mmpretrain's ``VQAAcc`` gives n / 3 without leaving one out.

    Args:
        by: Key of the type in the samples; on VQA v2 ``answer_type`` has 3
            and ``question_type`` 65.
        collect_device: As in mmengine.
        prefix: Likewise.
    """

    default_prefix = 'vqa'

    def __init__(
        self,
        by: str = 'question_type',
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.by = by

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keep answer, type, and the score that each answer would have.

        Raises:
            KeyError: A sample was not answered, or its answer is not known.
        """
        for sample in data_samples:
            for key in ('pred_answer', 'gt_answer'):
                if sample.get(key) is None:
                    raise KeyError(
                        f'a question has no {key}: VQAAccuracy needs the '
                        "task vqa, and 'gt_answer' among the meta_keys"
                    )
            scores = scores_of(
                sample['gt_answer'], sample.get('gt_answer_weight')
            )
            self.results.append(
                (
                    normal(sample['pred_answer']),
                    sample.get(self.by, ''),
                    scores,
                )
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the figures; log them by type."""
        kinds: dict[str, list] = {}
        for answer, kind, scores in results:
            kinds.setdefault(kind, []).append((answer, scores))
        every = [own for group in kinds.values() for own in group]
        figures = dict(
            accuracy=accuracy(every),
            constant=best_constant(every) / len(every),
            constant_by_type=sum(map(best_constant, kinds.values()))
            / len(every),
        )
        rows = [['', 'questions', 'accuracy', 'constant']]
        for kind, group in sorted(kinds.items()):
            if kind:
                figures[kind] = accuracy(group)
            said = best_constant(group) / len(group)
            own = [percent(accuracy(group)), percent(said)]
            rows.append([kind or 'all', len(group), *own])
        MMLogger.get_current_instance().info('\n' + AsciiTable(rows).table)
        return figures


def accuracy(group: Sequence[tuple[str, Mapping]]) -> float:
    """Return the mean score of answers."""
    return sum(scores.get(said, 0.0) for said, scores in group) / len(group)


def best_constant(group: Sequence[tuple[str, Mapping]]) -> float:
    """Return the summed score of the best single answer to all questions."""
    total = Counter()
    for _, scores in group:
        total.update(scores)
    return max(total.values())


def scores_of(given, shares=None) -> dict[str, float]:
    """Return the official score of each answer that was given.

    Args:
        given: An answer, or those of M annotators.
        shares: Of each answer the share of annotators who gave it; they are
            taken for ten, as on VQA v2.
    """
    given = [given] if isinstance(given, str) else list(given)
    if shares is None:
        count = Counter(normal(answer) for answer in given)
    else:
        count = Counter()
        for answer, share in zip(given, shares, strict=True):
            count[normal(answer)] += round(10 * float(share))
    total = sum(count.values())
    if total == 1:
        return dict.fromkeys(count, 1.0)
    return {answer: score(n, total) for answer, n in count.items()}


def score(n: int, total: int) -> float:
    """Return the mean of min(1, others / 3) over leaving each one out."""
    agree, differ = min(1, (n - 1) / 3), min(1, n / 3)
    return (n * agree + (total - n) * differ) / total


def normal(answer: str) -> str:
    """Return an answer in the official normal form.

    Contractions are not mended: answers of data sets have them.
    """
    answer = ' '.join(str(answer).split())
    bare = answer
    between = re.search(r'\d,\d', answer) is not None
    for sign in SIGNS:
        apart = f'{sign} ' in answer or f' {sign}' in answer
        bare = bare.replace(sign, '' if apart or between else ' ')
    bare = re.sub(r'\.(?!\d)', '', bare).lower()
    words = [word for word in bare.split() if word not in ARTICLES]
    digits = {name: str(k) for k, name in enumerate(NUMBERS)}
    digits['none'] = '0'
    return ' '.join(digits.get(word, word) for word in words)
