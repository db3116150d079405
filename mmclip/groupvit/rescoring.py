"""Let a frozen CLIP have a say in what a group is called.

B images, G groups, K names, D embedding width of that CLIP, h x w positions.

GroupViT's groups are better than its names for them. A CLIP that has seen
more text looks at each group's mask: the mean of its dense embeddings there.
"""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from mmclip.clip.dense_scores import DenseScores
from mmclip.clip.vocabulary import Vocabulary
from mmclip.groupvit.segmentation import mask_shares

REMEMBERED = 512  # lists of names


class MaskRescoring:
    """Score names by the masks of groups.

    It reaches no checkpoint.

    Args:
        encoder: Config of a :class:`mmclip.clip.image.CLIPImageEncoder`.
        text_encoder: Config of that CLIP's text tower.
        prompts: Prompt set or templates of its sentences.
        zoom: How much the image is enlarged for it.
        stride: Pixels a position at which masks and embeddings meet.
        weight: Of its scores; GroupViT's have 1.
        logit_scale: Factor on its cosines, exponentiated: that of its own
            training (100 for OpenAI's).
    """

    def __init__(
        self,
        encoder: dict,
        text_encoder: dict,
        *,
        prompts: str | Sequence[str] = 'single',
        zoom: float = 1.0,
        stride: int = 4,
        weight: float = 1.0,
        logit_scale: float = 100.0,
    ) -> None:
        self.dense = DenseScores(encoder, zoom=zoom)
        self.text_encoder, self.prompts = text_encoder, prompts
        self.stride, self.factor = stride, weight * logit_scale
        self._known: dict[str, Tensor] = {}

    def embed(self, images: Tensor, labels: Tensor, groups: int) -> Tensor:
        """Embed the masks of all groups.

        Args:
            images: RGB images in [0, 1], (B, 3, H, W).
            labels: Group of each pixel (B, H, W).
            groups: G.

        Returns:
            Unit embeddings (B, G, D); zeros for a group without pixels.
        """
        size = [-(-side // self.stride) for side in labels.shape[1:]]
        dense = self.dense.embed(images, size)  # (B, D, h, w)
        shares = mask_shares(labels, groups, size)  # (B, G, h * w)
        return F.normalize(shares @ dense.flatten(2).mT, dim=-1)

    def logits(
        self, seen: Tensor, phrases: Mapping[str, Sequence[str]]
    ) -> Tensor:
        """Score names by what :meth:`embed` returned: (B, G, K)."""
        key = repr(phrases)
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = Vocabulary(
                dict(phrases),
                prompts=self.prompts,
                text_encoder=self.text_encoder,
            ).embeddings
        return self.factor * seen @ self._known[key].to(seen).t()
