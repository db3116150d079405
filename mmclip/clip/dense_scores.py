"""Let a CLIP that no mask has taught have a say in every pixel's name.

B images, K names, D embedding width, h x w positions of the scores that are
added to.

What a segmentor learns from masks of some names, it forgets of the others; a
frozen CLIP knows them, but not where they end. At test time the product of
both opinions is taken (as F-VLM does for boxes, section 3.3).
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.clip.image import CLIPImageEncoder
from mmclip.registry import MODELS


class DenseScores:
    """Add a frozen CLIP's dense scores to those of a segmentor.

    Where one name is the background, CLIP decides among the others alone:
    how much the background has of each pixel stays as it was.

    Args:
        encoder: Config of a :class:`mmclip.clip.image.CLIPImageEncoder` whose
            text tower encodes the segmentor's names. It reaches no
            checkpoint.
        zoom: How much the image is enlarged for it.
        weight: Of its scores; the segmentor's have 1.
        logit_scale: Factor on its cosines, exponentiated: that of its own
            training (100 for OpenAI's).
        attention: As in :meth:`mmclip.clip.image.CLIPImageEncoder.dense`.
    """

    def __init__(
        self,
        encoder: dict,
        *,
        zoom: float = 1.0,
        weight: float = 1.0,
        logit_scale: float = 100.0,
        attention: str = 'values',
    ) -> None:
        self.encoder: CLIPImageEncoder = MODELS.build(encoder)
        self.zoom, self.weight = zoom, weight
        self.logit_scale, self.attention = logit_scale, attention

    @torch.no_grad()
    def embed(self, images: Tensor, size) -> Tensor:
        """Embed every position of RGB images (B, 3, H, W) in [0, 1].

        Args:
            images: The images.
            size: (h, w) to bring the embeddings to.

        Returns:
            Unit embeddings (B, D, h, w).
        """
        self.encoder.to(images.device)
        images = images.float()
        if self.zoom != 1:
            images = F.interpolate(
                images, scale_factor=self.zoom, mode='bilinear'
            )
        dense = self.encoder.dense(
            self.encoder.normalise(images), attention=self.attention
        )
        dense = F.interpolate(dense, tuple(size), mode='bilinear')
        return F.normalize(dense, dim=1)

    def fuse(
        self,
        chunks: Callable[[], Iterator[Tensor]],
        dense: Tensor,
        texts: Tensor,
        background: int | None = None,
    ) -> Iterator[Tensor]:
        """Yield the fused scores of some names at a time.

        Args:
            chunks: Returns the segmentor's scores of all names, (B, some, h,
                w) at a time; called twice where there is a background.
            dense: What ``embed`` returned.
            texts: Unit text embeddings (K, D).
            background: Which of the names is the background.
        """
        shift = None
        if background is not None:
            shift = self._shift(chunks, dense, texts, background)
        for start, own, more in self._pairs(chunks, dense, texts):
            fused = own + more
            if shift is not None:
                fused = fused + shift
                row = background - start
                if 0 <= row < own.shape[1]:
                    fused[:, row] = own[:, row]
            yield fused

    def _pairs(self, chunks, dense, texts):
        """Yield (first name, own scores, weighted scores of CLIP)."""
        factor, start = self.weight * self.logit_scale, 0
        for own in chunks():
            part = F.normalize(texts[start : start + own.shape[1]], dim=1)
            more = F.conv2d(dense, part.to(dense)[:, :, None, None])
            yield start, own, factor * more
            start += own.shape[1]

    def _shift(self, chunks, dense, texts, background: int) -> Tensor:
        """Return what keeps the names' common share, (B, 1, h, w)."""
        before = after = torch.full_like(dense[:, :1], -torch.inf)
        for start, own, more in self._pairs(chunks, dense, texts):
            names = [k for k in range(own.shape[1]) if start + k != background]
            before = add_up(before, own[:, names])
            after = add_up(after, (own + more)[:, names])
        shift = before - after
        return torch.where(shift.isfinite(), shift, torch.zeros_like(shift))


def add_up(total: Tensor, scores: Tensor) -> Tensor:
    """Return log(exp(total) + sum of exp(scores)), (B, 1, h, w)."""
    both = torch.cat([total, scores.float()], dim=1)
    return both.logsumexp(dim=1, keepdim=True)
