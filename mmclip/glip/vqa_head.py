"""Answer questions about an image from the fused words.

B questions, L words, C their width, A answers.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike

import torch
import torch.nn.functional as F
from mmengine.fileio import load
from torch import Tensor, nn

from mmclip.registry import MODELS

FULL = 0.3  # share of ten annotators that makes an answer count whole


@MODELS.register_module()
class VQAHead(nn.Module):
    """Choose an answer by the fused first word of the question.

    GLIPv2 (sec. 3.1) sets a classifier upon the hidden state of the first
    token. Its layers were not published; these are those of most models of
    the time (linear, layer norm, GELU, linear).

    Args:
        answers: The answers, or a JSON file with a list of them or a dict
            from answers to numbers.
        num_answers: How many there are, A; a file is then read when it is
            first needed, which a model without it can be built for.
        language_dim: C.
        hidden_dim: Width between; 2 C by default.
        dropout: In training, before the last layer.
        loss_type: ``'bce'``: each answer by itself, against its official
            score; ``'ce'``: the answers compete, shares add up to one.
        unknown: What a training question is whose answers are none of ours:
            ``'error'``, or ``'ignore'``: with ``'bce'`` all answers are
            wrong then, with ``'ce'`` it counts nothing.
        loss_weight: Factor on the loss.

    Raises:
        ValueError: There are no answers, or one twice, or a mode is unknown.
    """

    def __init__(
        self,
        answers: Sequence[str] | str | PathLike | None = None,
        language_dim: int = 768,
        hidden_dim: int | None = None,
        *,
        num_answers: int | None = None,
        dropout: float = 0.1,
        loss_type: str = 'bce',
        unknown: str = 'error',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.source, self.num_answers = answers, num_answers
        if num_answers is None:
            self.num_answers = len(self.answers)
        if loss_type not in ('bce', 'ce') or unknown not in (
            'error',
            'ignore',
        ):
            raise ValueError(
                f"got loss_type='{loss_type}' and unknown='{unknown}': "
                "expected 'bce' or 'ce', and 'error' or 'ignore'"
            )
        hidden_dim = hidden_dim or 2 * language_dim
        self.classifier = nn.Sequential(
            nn.Linear(language_dim, hidden_dim),
            nn.LayerNorm(hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, self.num_answers),
        )
        self.loss_type, self.unknown = loss_type, unknown
        self.loss_weight = loss_weight

    @cached_property
    def answers(self) -> list[str]:
        """Return the answers by number.

        Raises:
            ValueError: There are not ``num_answers``.
        """
        found = read_answers(self.source)
        if self.num_answers not in (None, len(found)):
            raise ValueError(
                f'{self.source} has {len(found)} answers, but num_answers='
                f'{self.num_answers}: give the file of the same model'
            )
        return found

    @cached_property
    def number(self) -> dict[str, int]:
        """Return the number of each answer."""
        return {name: k for k, name in enumerate(self.answers)}

    def forward(self, words: Tensor) -> Tensor:
        """Return logits of all answers (B, A) from words (B, L, C)."""
        return self.classifier(words[:, 0])

    def loss(self, words: Tensor, samples: Sequence) -> Tensor:
        """Return the mean loss of the questions; 0 without any.

        Args:
            words: Fused words (B, L, C).
            samples: Each with ``gt_answer``: an answer, or those of all
                annotators; ``gt_answer_weight`` may give the share of
                annotators of each.
        """
        logits = self(words).float()  # (B, A)
        targets = [self.target(sample) for sample in samples]
        targets = torch.stack([*targets, torch.zeros(self.num_answers)])
        targets = targets[:-1].to(logits)
        if self.loss_type == 'bce':
            targets = (targets / FULL).clamp(max=1)
            loss = F.binary_cross_entropy_with_logits(
                logits, targets, reduction='sum'
            )
            return self.loss_weight * loss / max(1, len(samples))
        total = targets.sum(dim=1, keepdim=True)
        targets = targets / total.clamp(min=1e-6)
        loss = -(targets * logits.log_softmax(dim=1)).sum()
        return self.loss_weight * loss / (total > 0).sum().clamp(min=1)

    def target(self, sample) -> Tensor:
        """Return which share of the annotators gave each answer (A,).

        Raises:
            ValueError: The sample has no answer, or none of ours.
        """
        given = answers_of(sample)
        target = torch.zeros(self.num_answers)
        for answer, share in given.items():
            if answer in self.number:
                target[self.number[answer]] = share
        if not target.any() and self.unknown == 'error':
            raise ValueError(
                f'the answers {list(given)} to {sample.get("question")!r} '
                f'are none of the {self.num_answers} of the head: add them '
                "to answers, or pass unknown='ignore'"
            )
        return target

    @torch.no_grad()
    def predict(self, words: Tensor) -> list[tuple[str, float]]:
        """Return the best answer to each question, and its probability."""
        logits = self(words).float()
        if self.loss_type == 'bce':
            scores = logits.sigmoid()
        else:
            scores = logits.softmax(dim=1)
        best = scores.max(dim=1)
        return [
            (self.answers[k], score)
            for k, score in zip(best.indices.tolist(), best.values.tolist())
        ]


def answers_of(sample) -> dict[str, float]:
    """Return the share of annotators who gave each answer.

    Raises:
        ValueError: There is no answer, or not a weight for each.
    """
    given, weights = sample.get('gt_answer'), sample.get('gt_answer_weight')
    given = [given] if isinstance(given, str) else list(given or ())
    if weights is None:
        weights = [1 / len(given)] * len(given) if given else []
    if not given or len(weights) != len(given):
        raise ValueError(
            f'the question {sample.get("question")!r} has {len(given)} '
            f'answers and {len(weights)} weights: expected gt_answer, and as '
            "many gt_answer_weight or none; add them to the pipeline's "
            'meta_keys'
        )
    shares: dict[str, float] = {}
    for answer, weight in zip(given, weights):
        shares[answer] = shares.get(answer, 0.0) + float(weight)
    return shares


def read_answers(source) -> list[str]:
    """Return the answers by number; see :class:`VQAHead`."""
    if source is None:
        raise ValueError(
            'a VQAHead needs its answers: pass a list, or a JSON file'
        )
    if isinstance(source, str | PathLike):
        source = load(str(source))
    if isinstance(source, Mapping):
        source = sorted(source, key=source.get)
    answers = [str(answer) for answer in source]
    twice = sorted({a for a in answers if answers.count(a) > 1})
    if not answers or twice:
        raise ValueError(
            f'got {len(answers)} answers, {twice} twice: expected one or '
            'more, all different'
        )
    return answers
