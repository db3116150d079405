"""Where a CLIP looks, and where a picture has edges.

B pictures, H x W pixels. Both maps are in [0, 1].
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.clip.image import CLIPImageEncoder

ROUNDING = 3e-6  # of what a bicubic filter makes of a uniform map
LUMINANCE = (0.2125, 0.7154, 0.0721)  # ITU-R BT.709, as scikit-image has it


@torch.no_grad()
def attention_maps(
    encoder: CLIPImageEncoder, images: Tensor, reduce: str = 'mean_blocks'
) -> Tensor:
    """Return how much the class token attends to each position.

    Source: CLIPasso, sec. 4.2. Its release takes the mean over all blocks,
    where the paper speaks of the last.

    Args:
        encoder: A ViT, or a CLIP ResNet, which has the one pool.
        images: RGB in [0, 1] (B, 3, H, W).
        reduce: ``'mean_blocks'`` or ``'last'``.

    Returns:
        Means over the heads (B, h, w); they are not scaled.

    Raises:
        ValueError: ``reduce`` is neither, or the tower has no attention.
    """
    if reduce not in ('mean_blocks', 'last'):
        raise ValueError(
            f"reduce is {reduce!r}, expected 'mean_blocks' or 'last'"
        )
    layers = encoder.attention(encoder.normalise(images))
    rows = [a[:, :, 0, 1:].mean(dim=1) for a in layers]  # each (B, h * w)
    mean = torch.stack(rows).mean(dim=0) if reduce != 'last' else rows[-1]
    stride = encoder.strides[-1]
    grid = [-(-side // stride) for side in images.shape[2:]]
    return mean.unflatten(1, grid)


@torch.no_grad()
def activation_maps(encoder: CLIPImageEncoder, images: Tensor) -> Tensor:
    """Return how strongly the last layer answers at each position.

    For towers without an attention that can be read: the length of the
    feature, from which the mean over all positions is taken off first.

    Args:
        encoder: Any whose ``forward`` returns maps.
        images: RGB in [0, 1] (B, 3, H, W).

    Returns:
        (B, h, w); they are not scaled.
    """
    last = encoder(encoder.normalise(images))[-1]  # (B, C, h, w)
    return (last - last.mean(dim=(2, 3), keepdim=True)).norm(dim=1)


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps (B, h, w) bicubically to (B, H, W), scaled to [0, 1]."""
    large = F.interpolate(
        maps[:, None].float(), size, mode='bicubic', align_corners=False
    )[:, 0]
    return torch.stack([unit_range(each) for each in large])


def unit_range(values):
    """Scale to [0, 1]; what is the same everywhere, up to rounding, is 0."""
    low, high = values.min(), values.max()
    if not bool(high - low > ROUNDING * max(abs(low), abs(high))):
        return values * 0
    return (values - low) / (high - low)


def luminance(image: np.ndarray) -> np.ndarray:
    """Return the grey value (H, W) of RGB (H, W, 3) of any range."""
    return image @ np.asarray(LUMINANCE, image.dtype)


def xdog(
    grey: np.ndarray,
    gamma: float = 0.98,
    phi: float = 200.0,
    epsilon: float = -0.1,
    sigma: float = 0.8,
    ratio: float = 10.0,
    binarize: bool = True,
) -> np.ndarray:
    """Draw the edges of a picture black on white.

    Source: Winnemoeller et al., XDoG, eq. 5 and 6, as CLIPasso's release
    varies them: where the difference is below ``epsilon`` (the inside of
    something dark) the drawing is white, elsewhere 1 + tanh(phi * difference).

    Args:
        grey: Grey values (H, W) of any range.
        gamma: Share of the coarse picture that is taken off the fine one.
        phi: Steepness of an edge.
        epsilon: Difference below which no edge is drawn.
        sigma: Deviation of the fine Gauss filter in pixels.
        ratio: What the coarse one's is larger by.
        binarize: Whether values become 0 and 1 by Otsu's threshold.

    Returns:
        float64 (H, W), 0 on edges.
    """
    grey = np.asarray(grey, np.float64)
    difference = gauss(grey, sigma) - gamma * gauss(grey, sigma * ratio)
    soft = 1 + np.tanh(phi * difference)
    edges = unit_range(np.where(difference < epsilon, 1.0, soft))
    if not binarize:
        return edges
    return (edges >= otsu(edges)).astype(np.float64)


def gauss(image: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth an image; beyond its border it is mirrored, edge repeated."""
    reach = int(4 * sigma + 0.5)
    x = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(image, reach, mode='symmetric')
    smooth = cv2.sepFilter2D(padded, cv2.CV_64F, kernel, kernel)
    return smooth[reach:-reach, reach:-reach]


def otsu(values: np.ndarray, bins: int = 256) -> float:
    """Return the threshold that parts values best in two (Otsu, 1979)."""
    if not values.max() > values.min():
        return float(values.flat[0])
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = counts.cumsum(), counts[::-1].cumsum()[::-1]
    weighted = counts * centres
    mean_below = weighted.cumsum() / np.maximum(below, 1)
    mean_above = weighted[::-1].cumsum()[::-1] / np.maximum(above, 1)
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centres[between.argmax()])
