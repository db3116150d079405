"""Name groups, and paint their scores on pixels.

B images, G groups, K names, W background words, D common width.
"""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmclip.clip.phrases import split_phrases
from mmclip.clip.similarity import cosine_logits
from mmclip.groupvit.segmentation import (
    joint_shares,
    paint,
    unsure,
    with_background,
)
from mmclip.groupvit.vocabulary import OwnVocabulary

KINDS = ('threshold', 'cosine', 'words')


@dataclass
class GroupFeatures:
    """What the names of an image's groups are decided by.

    Attributes:
        image: Features of the images (B, D).
        groups: Features of the groups (B, G, D).
        labels: Group of each pixel, int64 (B, H, W).
        seen: A frozen CLIP's unit embeddings of the groups' masks
            (B, G, D'), or None.
    """

    image: Tensor
    groups: Tensor
    labels: Tensor
    seen: Tensor | None = None

    def of(self, image: int) -> 'GroupFeatures':
        """Return one image's part, B = 1."""
        own = slice(image, image + 1)
        return GroupFeatures(
            self.image[own],
            self.groups[own],
            self.labels[own],
            None if self.seen is None else self.seen[own],
        )


@dataclass(frozen=True)
class GroupBackground:
    """What is none of the names; it acts while the names hold ``name``.

    Args:
        kind: ``'threshold'``: a group whose best score is below it
            (published: 0.95 for VOC and COCO-Object, 0.35 for Context);
            ``'cosine'``: a group whose best name's cosine is below it, for
            networks whose prompts were matched with segments
            (``prompt_match='segment'``); ``'words'``: a group that one of
            several words fits best.
        name: The name that it stands for.
        threshold: For ``'threshold'`` and ``'cosine'``; may be given with
            words, both then count.
        words: For ``'words'``.

    Raises:
        ValueError: The kind is unknown or lacks what it needs.
    """

    kind: str
    name: str = 'background'
    threshold: float | None = None
    words: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f'background kind={self.kind!r}: expected one of {KINDS}'
            )
        key = 'words' if self.kind == 'words' else 'threshold'
        if not self.words if key == 'words' else self.threshold is None:
            raise ValueError(
                f'background kind={self.kind!r} needs {key}=, such as 0.95 '
                "for 'threshold' or ['sky', 'wall'] for 'words'"
            )


class GroupViTHead(nn.Module):
    """Score names by groups, as ``OpenVocabEncoderDecoder`` asks its head.

    It has no parameters: a segmentor's state dict is the pretrainer's.

    Args:
        vocabulary: The names.
        scale: Returns the factor on the cosine.
        background: Arguments of :class:`GroupBackground`, or None.
        topk: How many names an image may hold; None for all.
        rescoring: A :class:`mmclip.groupvit.rescoring.MaskRescoring`, or
            None.
    """

    align_corners = False
    ignore_index = 255

    def __init__(
        self,
        vocabulary: OwnVocabulary,
        scale: Callable[[], Tensor],
        *,
        background: dict | None = None,
        topk: int | None = 5,
        rescoring=None,
    ) -> None:
        super().__init__()
        self.vocabulary, self.scale, self.topk = vocabulary, scale, topk
        self.background = background and GroupBackground(**background)
        self.rescoring = rescoring
        self.words = None
        if self.background and self.background.words:
            self.words = vocabulary.sibling(self.background.words)

    # ---- names ----

    def set_vocabulary(self, vocabulary, names=None) -> None:
        """Segment into other names from now on.

        Args:
            vocabulary: Names, ``{name: [phrases]}``, or embeddings (K, D).
            names: The names of embeddings.
        """
        self.vocabulary.set(vocabulary, names)

    @contextmanager
    def speaking(self, text):
        """Answer in the names of ``text`` within the block.

        Args:
            text: ``'sky . dog'``, names, ``{name: [phrases]}``, or None for
                the vocabulary as it is.
        """
        if text is None:
            yield
            return
        kept = self.vocabulary.state
        self.set_vocabulary(split_phrases(text))
        try:
            yield
        finally:
            self.vocabulary.state = kept

    def forget(self) -> None:
        """Encode all names again, for there are other weights."""
        for vocabulary in (self.vocabulary, self.words):
            if vocabulary is not None:
                vocabulary.forget()

    @property
    def background_row(self) -> int | None:
        """Which of the names is the background, None if none is."""
        names = self.vocabulary.names
        if self.background is None or self.background.name not in names:
            return None
        return names.index(self.background.name)

    # ---- scores ----

    def group_scores(self, features: GroupFeatures) -> Tensor:
        """Score every name by group, (B, G, K)."""
        row, names = self.background_row, list(self.vocabulary.names)
        text = self.vocabulary.embeddings
        words = 0
        if row is not None:
            names.pop(row)
            text = torch.cat([text[:row], text[row + 1 :]])
            if self.words is not None:
                words = len(self.words)
                text = torch.cat([text, self.words.embeddings])
        text = text.to(features.groups)
        scores = self.named(features, text, names)
        if row is None:
            return scores
        limit, silent = self.background.threshold, None
        if self.background.kind == 'cosine':
            cosines = cosine_logits(features.groups, text[: len(names)])
            silent, limit = unsure(cosines.amax(dim=2), limit), None
        return with_background(
            scores, row, threshold=limit, num_contrast=words, silent=silent
        )

    def named(self, features: GroupFeatures, text: Tensor, names) -> Tensor:
        """Score names, then background words if ``text`` holds more rows."""
        scale = self.scale()
        logits = cosine_logits(features.groups, text, scale)
        if features.seen is not None:
            said = self.vocabulary.said(names)
            if len(text) > len(names):
                said |= self.words.said(self.words.names)
            logits = logits + self.rescoring.logits(features.seen, said)
        return joint_shares(
            logits, cosine_logits(features.image, text), self.topk
        )

    def forward(self, features: GroupFeatures) -> Tensor:
        """Score every name by pixel, (B, K, H, W)."""
        return paint(self.group_scores(features), features.labels)
