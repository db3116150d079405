"""The contrastive loss between images and one or several texts each.

B images on this rank, W ranks, K texts an image, G segments, D common width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.groupvit.attention import at_least_float32
from mmclip.groupvit.gathering import gather_rows, world_size
from mmclip.registry import MODELS

MAX_SCALE = 100.0


def exponentiated(log_scale: Tensor) -> Tensor:
    """Return the factor on the cosine, at most 100 as in CLIP."""
    return log_scale.exp().clamp(max=MAX_SCALE)


def multi_label_contrastive_loss(
    image: Tensor, text: Tensor, scale: float | Tensor
) -> Tensor:
    """Pull images to their texts and away from the texts of all ranks.

    An image's target is spread evenly over its K texts; each text's target
    is its image (sec. 3.3, eq. 6 to 8; with K = 1, eq. 5).

    Args:
        image: Features (B, D), not normalised; or of an image's segments
            (B, G, D), of which the one that fits a text best counts, by a
            soft maximum (not in the paper).
        text: Features (B, K, D), not normalised; row i belongs to image i.
        scale: Factor on the cosine, already exponentiated.

    Returns:
        The loss of this rank's rows. Its mean over ranks is the loss of the
        whole batch, also where ranks have unequal B.

    Raises:
        ValueError: The shapes do not fit.
    """
    if text.ndim != 3 or len(text) != len(image):
        raise ValueError(
            f'texts {tuple(text.shape)} for images {tuple(image.shape)}: '
            'expected (B, K, D) and (B, D) or (B, G, D), one row of K texts '
            'an image'
        )
    image = F.normalize(at_least_float32(image), dim=-1)
    text = F.normalize(at_least_float32(text), dim=-1)
    (images, texts), start = gather_rows(image, text)  # (W * B, [K,] D)
    own = torch.arange(len(image), device=image.device) + start
    count = text.shape[1]
    logits = fits(image, texts.flatten(0, 1), scale)  # (B, W * B * K)
    fit = logits.log_softmax(dim=1).unflatten(1, (-1, count))
    by_image = -fit[own - start, own].mean()
    logits = fits(images, text.flatten(0, 1), scale).t()  # (B * K, W * B)
    by_text = F.cross_entropy(logits, own.repeat_interleave(count))
    share = len(image) * world_size() / len(images)  # 1 for equal ranks
    return share * (by_image + by_text) / 2


def fits(images: Tensor, texts: Tensor, scale: float | Tensor) -> Tensor:
    """Score unit features (N, D) or (N, G, D) against texts (M, D): (N, M)."""
    logits = scale * images @ texts.t()
    return logits if images.ndim == 2 else logits.logsumexp(dim=1)


@MODELS.register_module()
class MultiLabelContrastiveLoss(torch.nn.Module):
    """Weigh :func:`multi_label_contrastive_loss`.

    Args:
        loss_weight: Factor on the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, image: Tensor, text: Tensor, log_scale: Tensor):
        """Return the loss; ``log_scale`` is the parameter.

        Logits are computed in float32 whatever autocast says.
        """
        with torch.autocast(image.device.type, enabled=False):
            scale = exponentiated(at_least_float32(log_scale))
            return self.loss_weight * multi_label_contrastive_loss(
                image, text, scale
            )
