"""Score pixels that are not projected, some names at a time.

B images, K names, F channels of the neck, D embedding width, h x w pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def parts_of(count: int, size: int) -> list[slice]:
    """Cut ``count`` names into parts of ``size``.

    A rest of up to three joins the part before it, as torch resizes so few
    channels by a kernel of its own, which rounds otherwise.
    """
    ends = list(range(size, count, size))
    if ends and size >= 8 and count - ends[-1] <= 3:
        ends.pop()
    return [slice(*pair) for pair in zip([0, *ends], [*ends, count])]


def pixel_norms(pixels: Tensor) -> Tensor:
    """Return the lengths (B, 1, h, w) of pixel embeddings (B, D, h, w)."""
    norm = torch.linalg.vector_norm(
        pixels, dim=1, keepdim=True, dtype=torch.float32
    )
    return norm.clamp_min(1e-12)


def cosines_through(
    project: nn.Conv2d | nn.Identity,
    inputs: Tensor,
    norm: Tensor,
    texts: Tensor,
    scale: Tensor | float,
) -> Tensor:
    """Return scaled cosines of projected pixels, (B, K, h, w).

    They are ``cosine_logits(project(inputs), texts, scale, dim=1)``. The
    texts go back through the projection instead of the pixels going forth:
    t (W x + b) = (t W) x + t b, a smaller product.

    Args:
        project: 1 x 1 convolution from F to D, or the identity.
        inputs: (B, F, h, w).
        norm: Lengths of the projected pixels (B, 1, h, w).
        texts: Text embeddings (K, D) of any length.
        scale: Factor on the cosine.

    Raises:
        ValueError: The widths differ.
    """
    same = isinstance(project, nn.Identity)
    width = inputs.shape[1] if same else project.out_channels
    if width != texts.shape[1]:
        raise ValueError(
            f'pixel embeddings are {width} wide but the text '
            f'embeddings are {texts.shape[1]} wide: set embed_dims to the '
            'width of the text tower'
        )
    with torch.autocast(inputs.device.type, enabled=False):
        weight = F.normalize(texts.float(), dim=1)
        if not same:
            bias = weight @ project.bias.float()
            weight = weight @ project.weight.float().flatten(1)  # (K, F)
    # As a matrix product: convolutions first copy the map, the largest tensor.
    products = weight.to(inputs.dtype) @ inputs.flatten(2)  # (B, K, h w)
    if not same:
        products = products.add_(bias.to(products.dtype)[:, None])
    products = products.unflatten(2, inputs.shape[2:])
    return products * (scale / norm).to(products.dtype)
