"""Let two sources of class scores vote by a weighted geometric mean.

The first source is the text classifier. The second may be anything that
scores regions against the vocabulary: ViLD-ensemble's image branch, CLIP on
crops of the regions, or region features pooled from a frozen CLIP (F-VLM). It
is a callable that takes :class:`Regions` and returns probabilities (R, K); as
a module with a config it is given to ``ViLDRoIHead(score_source=dict(...))``.

R regions over all images, K names, C region feature width, D embedding width.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from mmclip.clip.similarity import cosine_logits
from mmclip.registry import MODELS


@dataclass
class Regions:
    """All that a second source of scores may look at.

    Attributes:
        rois: (R, 5), index of the image and xyxy pixels of the network input.
        roi_feats: What the box head saw, (R, C, h, w).
        features: Levels of the neck, each (B, C, h, w).
        img_metas: ``metainfo`` of each image: ``img_path``,
            ``scale_factor``, ``flip`` and so on.
        texts: Unit text embeddings of the names in use (K, D).
    """

    rois: Tensor
    roi_feats: Tensor
    features: tuple[Tensor, ...]
    img_metas: list[dict]
    texts: Tensor


class ScoreSource(Protocol):
    """A second source of scores."""

    def __call__(self, regions: Regions) -> Tensor:
        """Return the probability of each name (R, K), no background."""


def name_probabilities(
    embeddings: Tensor, texts: Tensor, temperature: float
) -> Tensor:
    """Return the softmax over names alone, float32 (R, K).

    Args:
        embeddings: Of regions (R, D), of any length.
        texts: Of names (K, D).
        temperature: Cosines are divided by it.
    """
    logits = cosine_logits(embeddings.float(), texts, 1 / temperature)
    return logits.softmax(dim=-1)


@MODELS.register_module()
class GeometricScoreFusion(nn.Module):
    """Fuse as ``text^(1 - w) * other^w``, with one w for base, one for novel.

    Names that had boxes in training trust the text classifier, others the
    second source. There is no logarithm, so a probability of 0 stays 0 and
    none becomes NaN. Source: ViLD paper, eq. 5; DetPro's transfer recipe is
    ``base=novel=0.4``.

    Args:
        base: w of names with boxes in training.
        novel: w of all others.
        normalize: Whether the fused scores of a region and the text
            classifier's background probability are brought to sum 1 (F-VLM,
            release: task_heads.py).

    Raises:
        ValueError: An exponent lies outside 0 to 1.
    """

    def __init__(
        self,
        base: float = 1 / 3,
        novel: float = 2 / 3,
        normalize: bool = False,
    ):
        super().__init__()
        if not (0 <= base <= 1 and 0 <= novel <= 1):
            raise ValueError(
                'base and novel are the weight of the second source and must '
                f'lie in 0 to 1, got {base} and {novel}'
            )
        self.base, self.novel = base, novel
        self.normalize = normalize

    def forward(self, text: Tensor, other: Tensor, novel: Tensor) -> Tensor:
        """Return fused scores, float32 (R, K).

        Args:
            text: Probabilities of the text classifier (R, K); the background
                was part of its softmax and is dropped here.
            other: Probabilities of the second source (R, K).
            novel: Which names had no boxes in training, bool (K,).

        Raises:
            ValueError: The shapes do not fit.
        """
        if text.shape != other.shape or novel.shape != text.shape[1:]:
            raise ValueError(
                f'scores of the text classifier are {tuple(text.shape)}, of '
                f'the second source {tuple(other.shape)}, for '
                f'{tuple(novel.shape)} names: a source returns (R, K) without '
                'a background column'
            )
        text, other = text.float().clamp(min=0), other.float().clamp(min=0)
        share = text.new_full(novel.shape, self.base)
        share = share.masked_fill(novel.to(text.device), self.novel)  # (K,)
        fused = text ** (1 - share) * other**share
        if self.normalize:
            background = (1 - text.sum(dim=1, keepdim=True)).clamp(min=0)
            total = fused.sum(dim=1, keepdim=True) + background  # (R, 1)
            fused = fused / total.clamp(min=1e-12)
        return fused
