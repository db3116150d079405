"""Compare image features with text embeddings.

B pairs, K names, D embedding width, ``...`` any leading dimensions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_logits(
    features: Tensor,
    text: Tensor,
    scale: float | Tensor = 1.0,
    *,
    dim: int = -1,
) -> Tensor:
    """Score features against every text embedding.

    Both sides are divided by their norms here, so neither needs unit length.

    Args:
        features: Pixels, groups or regions with D along ``dim``: (..., D), or
            (B, D, h, w) with ``dim=1``.
        text: Text embeddings (K, D).
        scale: Factor on the cosine, already exponentiated.
        dim: Where D stands in ``features``, and K in the result.

    Returns:
        Scores of ``features``' shape with K in place of D.

    Raises:
        ValueError: The widths differ.

    Example:
        >>> cosine_logits(torch.tensor([[3.0, 4.0]]), torch.eye(2), scale=10)
        tensor([[6., 8.]])
    """
    if features.shape[dim] != text.shape[-1]:
        raise ValueError(
            f'features are {features.shape[dim]} wide along dim {dim} but the '
            f'text embeddings are {text.shape[-1]} wide: project the features '
            'to the width of the text tower'
        )
    text = F.normalize(text, dim=-1).to(features.dtype)
    unit = F.normalize(features, dim=dim).movedim(dim, -1)  # (..., D)
    return (scale * (unit @ text.t())).movedim(-1, dim)  # (..., K)


def contrastive_loss(
    image: Tensor, text: Tensor, scale: float | Tensor
) -> Tensor:
    """Pull each image to its own text and away from the others.

    The mean of both directions' cross entropies (CLIP, fig. 3).

    Args:
        image: Image embeddings (B, D).
        text: Text embeddings (B, D); row i belongs to image i.
        scale: Factor on the cosine, already exponentiated.

    Returns:
        The loss, a scalar.
    """
    logits = cosine_logits(image, text, scale)  # (B, B)
    own = torch.arange(len(logits), device=logits.device)
    by_image = F.cross_entropy(logits, own)
    by_text = F.cross_entropy(logits.t(), own)
    return (by_image + by_text) / 2
