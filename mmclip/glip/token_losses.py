"""The focal losses between regions and words.

B images, A anchors, L tokens. Targets are 0 or 1, masks bool (B, L).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.registry import MODELS

NEVER = -1e6  # the logit of padding, as published


def binary_focal(
    logits: Tensor, targets: Tensor, alpha: float, gamma: float
) -> Tensor:
    """Return the focal loss of each entry (Lin et al., ICCV 2017)."""
    entropy = F.binary_cross_entropy_with_logits(
        logits, targets, reduction='none'
    )
    missed = torch.where(targets > 0, 1 - logits.sigmoid(), logits.sigmoid())
    weight = torch.where(targets > 0, alpha, 1 - alpha)
    return weight * missed**gamma * entropy


def softmax_focal(
    logits: Tensor, targets: Tensor, masks: Tensor, gamma: float
) -> Tensor:
    """Return a focal cross entropy over the words of each anchor.

    The target is spread evenly over an anchor's words. The last column
    stands for no object, so it is never masked; there is no ``alpha``.
    """
    masks = masks.bool().clone()
    masks[:, -1] = True
    targets = targets / (targets.sum(dim=-1, keepdim=True) + 1e-8)
    logits = logits.masked_fill(~masks[:, None], NEVER)
    logs = logits.log_softmax(dim=-1)
    missed = (targets - logs.exp()).clamp(min=1e-3)
    share = torch.where(targets > 0, targets, 1.0)
    return -targets * (missed / share) ** gamma * logs


@MODELS.register_module()
class TokenFocalLoss(nn.Module):
    """Sum the focal loss over anchors and words, by the positives' number.

    Args:
        kind: ``'sigmoid'`` for each word by itself, padding left out (what
            GLIP was trained with); ``'unmasked'`` the same with padding;
            ``'softmax'`` see :func:`softmax_focal`.
        alpha: Weight of positives; negatives have 1 - alpha.
        gamma: Exponent that turns easy entries down.
        loss_weight: Factor on the loss.
    """

    def __init__(
        self,
        kind: str = 'sigmoid',
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if kind not in ('sigmoid', 'unmasked', 'softmax'):
            raise ValueError(
                f"kind='{kind}': expected sigmoid, unmasked or softmax"
            )
        self.kind, self.alpha, self.gamma = kind, alpha, gamma
        self.loss_weight = loss_weight

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        masks: Tensor,
        avg_factor: float | Tensor = 1.0,
    ) -> Tensor:
        """Return the loss.

        Args:
            logits: (B, A, L).
            targets: (B, A, L).
            masks: (B, L), true for words.
            avg_factor: What the sum is divided by.
        """
        logits, targets = logits.float(), targets.float()
        if self.kind == 'softmax':
            loss = softmax_focal(logits, targets, masks, self.gamma)
        else:
            loss = binary_focal(logits, targets, self.alpha, self.gamma)
            if self.kind == 'sigmoid':
                loss = loss * masks[:, None].to(loss.dtype)
        return self.loss_weight * loss.sum() / avg_factor
