"""Name groups, and give the names to pixels.

B images, G groups, K names, D common width.
"""

import torch
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
    shares = logits.softmax(dim=-1)
    if topk is None or topk >= len(text):
        return shares.square()
    best = cosine_logits(image, text).topk(topk, dim=-1).indices
    absent = torch.ones_like(logits[:, 0], dtype=torch.bool)
    absent.scatter_(1, best, False)  # (B, K)
    kept = logits.masked_fill(absent[:, None], -torch.inf)
    return kept.softmax(dim=-1) * shares


def paint(scores: Tensor, labels: Tensor) -> Tensor:
    """Give each pixel the scores of its group.

    Args:
        scores: (B, G, K).
        labels: Group of each pixel (B, H, W).

    Returns:
        (B, K, H, W).
    """
    places = labels.flatten(1)[:, None]  # (B, 1, H * W)
    places = places.expand(-1, scores.shape[2], -1)
    return scores.mT.gather(2, places).unflatten(2, labels.shape[1:])


def background_score(
    scores: Tensor, labels: Tensor, threshold: float
) -> Tensor:
    """Return 1 where no name is sure enough and 0 elsewhere.

    Args:
        scores: Groups' scores (B, G, K).
        labels: Group of each pixel (B, H, W).
        threshold: What the best name of a pixel has to reach. It counts at
            most as the best score of the image, so that something remains.

    Returns:
        (B, 1, H, W).
    """
    best = scores.amax(dim=2)  # (B, G)
    limit = best.amax(dim=1, keepdim=True).clamp(max=threshold)
    unsure = (best < limit).to(scores.dtype)
    return paint(unsure[:, :, None], labels)


def segment_scores(
    groups: Tensor,
    image: Tensor,
    labels: Tensor,
    text: Tensor,
    scale: float | Tensor,
    *,
    topk: int | None = 5,
    threshold: float | None = None,
    num_contrast: int = 0,
) -> Tensor:
    """Score every pixel against every name.

    Args:
        groups: Features (B, G, D).
        image: Features (B, D).
        labels: Group of each pixel (B, H, W).
        text: Embeddings (K, D).
        scale: Factor on the cosine, already exponentiated.
        topk: How many names an image may hold; ``None`` for all.
        threshold: See :func:`background_score`; ``None`` for no background
            by threshold.
        num_contrast: How many of the last names describe the background;
            the best of them is its score.

    Returns:
        (B, K, H, W), or with a background (B, 1 + K - num_contrast, H, W)
        whose first channel is the background.
    """
    scores = name_groups(groups, image, text, scale, topk)
    named = scores[..., : len(text) - num_contrast]
    pixels = paint(named, labels)
    if threshold is None and not num_contrast:
        return pixels
    ground = pixels.new_zeros(len(pixels), 1, *labels.shape[1:])
    if threshold is not None:
        ground = background_score(named, labels, threshold)
    if num_contrast:
        best = scores[..., -num_contrast:].amax(dim=2, keepdim=True)
        ground = torch.maximum(ground, paint(best, labels))
    return torch.cat([ground, pixels], dim=1)
