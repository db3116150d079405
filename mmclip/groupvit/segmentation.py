"""Name groups, and give the names to pixels.

B images, G groups, K names, D common width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.clip.similarity import cosine_logits


def name_groups(
    groups: Tensor,
    image: Tensor,
    text: Tensor,
    scale: float | Tensor,
    topk: int | None = 5,
) -> Tensor:
    """Score every group against every name.

    A group's probabilities over all names are multiplied with those over the
    ``topk`` names alone that fit the whole image best, which leaves the
    others at zero. That is how the published models are evaluated; the paper
    matches each group to its best name (sec. 3.4).

    Args:
        groups: Features (B, G, D).
        image: Features (B, D).
        text: Embeddings (K, D).
        scale: Factor on the cosine, already exponentiated.
        topk: How many names an image may hold; ``None`` for all.

    Returns:
        Scores (B, G, K) between 0 and 1.
    """
    logits = cosine_logits(groups, text, scale)  # (B, G, K)
    return joint_shares(logits, cosine_logits(image, text), topk)


def joint_shares(logits: Tensor, image: Tensor, topk: int | None) -> Tensor:
    """Multiply each group's shares over all names and over the best few.

    Args:
        logits: Of the groups (B, G, K), scaled.
        image: How well the names fit the whole image (B, K).
        topk: See :func:`name_groups`.

    Returns:
        Scores (B, G, K) between 0 and 1.
    """
    shares = logits.softmax(dim=-1)
    if topk is None:
        return shares.square()
    # there may be fewer names; asking how many would fix K in an export
    image = F.pad(image, (0, topk), value=-torch.inf)
    best = image.topk(topk, dim=-1).indices
    absent = torch.full_like(image, -torch.inf).scatter(1, best, 0.0)
    kept = logits + absent[:, None, : logits.shape[-1]]
    return kept.softmax(dim=-1) * shares


def background_of(
    named: Tensor, threshold: float | None, contrast: Tensor
) -> Tensor:
    """Score the background of every group.

    Args:
        named: Groups' scores of the names (B, G, K).
        threshold: What the best name of a group has to reach, else its
            background scores 1, see :func:`unsure`. ``None`` for no such
            limit.
        contrast: Groups' scores of words that mean the background
            (B, G, W), W may be 0; the best of them counts.

    Returns:
        (B, G, 1).
    """
    ground = named.new_zeros(named.shape[:2])
    if threshold is not None:
        ground = unsure(named.amax(dim=2), threshold).to(named.dtype)
    if contrast.shape[2]:
        ground = torch.maximum(ground, contrast.amax(dim=2))
    return ground[..., None]


def unsure(best: Tensor, threshold: float) -> Tensor:
    """Tell which groups fit no name, bool (B, G).

    Args:
        best: How well each group's best name fits it (B, G).
        threshold: What it has to reach; at most the best of the image, so
            that something remains.
    """
    return best < best.amax(dim=1, keepdim=True).clamp(max=threshold)


def with_background(
    scores: Tensor,
    row: int,
    *,
    threshold: float | None = None,
    num_contrast: int = 0,
    silent: Tensor | None = None,
) -> Tensor:
    """Put the background among the names.

    Args:
        scores: Groups' scores (B, G, K): names, then words that mean the
            background.
        row: Where the background stands among the names.
        threshold: See :func:`background_of`.
        num_contrast: How many words there are.
        silent: Groups that are background whatever they score, bool (B, G).

    Returns:
        (B, G, K - num_contrast + 1).
    """
    named, contrast = scores.split(
        [scores.shape[2] - num_contrast, num_contrast], dim=2
    )
    ground = background_of(named, threshold, contrast)
    if silent is not None:
        ground = ground.masked_fill(silent[..., None], 1.0)
    return torch.cat([named[..., :row], ground, named[..., row:]], dim=2)


def paint(scores: Tensor, labels: Tensor) -> Tensor:
    """Give each pixel the scores of its group.

    Args:
        scores: (B, G, K).
        labels: Group of each pixel (B, H, W).

    Returns:
        (B, K, H, W); in memory a pixel's scores lie side by side, for whole
        rows are copied three times as fast as single scores.
    """
    batch, groups, names = scores.shape
    first = groups * torch.arange(batch, device=labels.device)
    rows = labels + first[:, None, None]  # (B, H, W)
    painted = scores.reshape(-1, names).index_select(0, rows.flatten())
    return painted.view(*labels.shape, names).permute(0, 3, 1, 2)


def mask_shares(labels: Tensor, groups: int, size: Sequence[int]) -> Tensor:
    """Return how much of each position belongs to each group.

    Args:
        labels: Group of each pixel (B, H, W).
        groups: G.
        size: (h, w), the positions.

    Returns:
        (B, G, h * w), between 0 and 1.
    """
    masks = F.one_hot(labels, groups).permute(0, 3, 1, 2).float()
    return F.adaptive_avg_pool2d(masks, tuple(size)).flatten(2)
