"""Learn names from captions, which come without any mask.

B captioned images, U different phrases of their captions, D embedding width,
N pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clip.phrases import split_phrases
from mmclip.registry import MODELS


class CaptionLoss(nn.Module):
    """Find each phrase of a caption somewhere in its image, not in others.

    A phrase looks for its pixels itself: its score in an image is the mean
    of its cosines, weighted towards the best (the word-region grounding of
    OpenSeg, section 3.3, with pixels for regions). The scores of images and
    phrases are contrasted in both directions. It goes through the same pixel
    embeddings as the masks' loss, so what a caption names becomes a name for
    pixels.

    Args:
        vocabulary: Config of the :class:`mmclip.clip.Vocabulary` whose text
            encoder and prompts are used; the head passes its own.
        loss_weight: Factor on the loss.
        negatives: How many phrases of earlier captions an image's phrases
            are told from besides those of the batch.
        remembered: How many phrases stay encoded; each is encoded once until
            there are more.
    """

    def __init__(
        self,
        vocabulary: dict,
        *,
        loss_weight: float = 1.0,
        negatives: int = 0,
        remembered: int = 20000,
    ) -> None:
        super().__init__()
        self.loss_weight, self.negatives = loss_weight, negatives
        self.remembered = remembered
        # In a tuple, so that it is no submodule and reaches no checkpoint.
        self._vocabulary = (MODELS.build(dict(vocabulary, names=None)),)
        self._vocabulary[0].cache = False  # a file for each new phrase
        self._known: dict[str, Tensor] = {}

    def forward(
        self,
        pixels: Tensor,
        captions: Sequence[str | None],
        scale: Tensor | float,
    ) -> Tensor:
        """Compute the loss; 0 where no image has a caption.

        Args:
            pixels: Pixel embeddings (B', D, h, w) of any length.
            captions: One an image, None for images without; "a red ring and
                a blue star" has two phrases.
            scale: Factor on the cosines.

        Returns:
            The loss, a scalar.
        """
        rows = [i for i, caption in enumerate(captions) if caption]
        if not rows:
            return 0 * pixels.sum()
        phrases = [split_phrases(captions[i]) for i in rows]
        unique = list(dict.fromkeys(p for some in phrases for p in some))
        unique += self._earlier(unique)
        contains = torch.tensor(
            [[p in some for p in unique] for some in map(set, phrases)],
            device=pixels.device,
        )  # (B, U)
        scores = phrase_scores(pixels[rows], self.encode(unique), scale)
        return self.loss_weight * grounding_loss(scores, contains)

    def encode(self, phrases: list[str]) -> Tensor:
        """Return unit embeddings (U, D); only new phrases are encoded."""
        new = [p for p in phrases if p not in self._known]
        if new:
            vocabulary = self._vocabulary[0]
            vocabulary.set(new)
            self._known.update(zip(new, vocabulary.embeddings))
        found = torch.stack([self._known[p] for p in phrases])
        while len(self._known) > self.remembered:
            self._known.pop(next(iter(self._known)))
        return found

    def _earlier(self, but: list[str]) -> list[str]:
        """Draw phrases of earlier captions."""
        if not self.negatives:
            return []
        but = set(but)
        others = [p for p in self._known if p not in but]
        order = torch.randperm(len(others))[: self.negatives]
        return [others[k] for k in order.tolist()]


def phrase_scores(
    pixels: Tensor, texts: Tensor, scale: Tensor | float
) -> Tensor:
    """Score each phrase in each image by the pixels that fit it best.

    Args:
        pixels: Pixel embeddings (B, D, h, w) of any length.
        texts: Text embeddings (U, D) of any length.
        scale: Factor on the cosines.

    Returns:
        Scaled scores (B, U): cosines averaged with the softmax of the scaled
        cosines over the image as weights.
    """
    unit = F.normalize(pixels.flatten(2).float(), dim=1)  # (B, D, N)
    texts = F.normalize(texts.to(unit), dim=1)
    logits = scale * torch.einsum('ud,bdn->bun', texts, unit)
    return (logits.softmax(dim=2) * logits).sum(dim=2)


def grounding_loss(scores: Tensor, contains: Tensor) -> Tensor:
    """Contrast images and phrases in both directions.

    Each phrase of an image is told from the phrases that the image's caption
    lacks, and its image from the images whose captions lack the phrase.

    Args:
        scores: Scaled scores (B, U).
        contains: Which image's caption has which phrase, bool (B, U).

    Returns:
        The mean over all pairs that belong together, a scalar.
    """
    others = scores.masked_fill(contains, -torch.inf)
    by_image = torch.logaddexp(others.logsumexp(dim=1, keepdim=True), scores)
    by_phrase = torch.logaddexp(others.logsumexp(dim=0, keepdim=True), scores)
    each = (by_image + by_phrase) / 2 - scores  # (B, U)
    return each[contains].mean()
