"""Find what stands out from the border of a picture, with no mask and no name.

B pictures, C channels, h x w positions of a layer, H x W pixels.

What lies at the border of a photograph is background more often than not.
A Gauss distribution of the border's features says how unlike it each place is
(the border as prior: Wei et al., ECCV 2012; a Gauss distribution of features:
Defard et al., PaDiM). GrabCut (Rother et al., 2004) then finds the outlines
by colour, and what is thin, as lines behind an object are, falls away.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.clipasso.features import CLIPFeatures
from mmclip.clipasso.saliency import otsu, unit_range

ROUNDING = 1e-5  # of what a layer holds
RIDGE = 0.05  # of the mean variance, on the diagonal of a covariance
FRAME = 0.02  # of the side: pixels that are taken to be background
ROUNDS = 5  # of GrabCut
LEAST = 0.2  # of the first guess: what GrabCut has to leave of it
SURE = 0.6  # of the way from the threshold to the most unlike
KEPT = 0.75  # of the border, whose rest may belong to an object that it cuts


def standing_out(
    images: Tensor,
    look: Callable[[Tensor], CLIPFeatures],
    thin: float = 0.03,
    choose: Callable | None = None,
) -> Tensor:
    """Return what stands out, (B, H, W) of 0 and 1.

    Where nothing does (a picture of one colour) all is 0.

    Args:
        images: RGB in [0, 1] (B, 3, H, W).
        look: How a network looks at such pictures.
        thin: What is narrower than twice this part of the side is left out.
        choose: Of several connected parts (P, H, W) of picture k,
            ``choose(k, parts)`` is kept; by default the one that stands out
            most.
    """
    unlike = unlike_border(images, look).double().numpy()
    reach = round(thin * images.shape[2])
    found = []
    for k, image in enumerate(images):
        parts = parts_of(cut_out(image, unlike[k]), reach)
        if len(parts) < 2:
            found.append(parts.any(axis=0))
            continue
        most = (parts * unlike[k]).sum(axis=(1, 2)).argmax()
        found.append(parts[most if choose is None else choose(k, parts)])
    return torch.from_numpy(np.stack(found)).to(images)


def unlike_border(
    images: Tensor, look: Callable[[Tensor], CLIPFeatures]
) -> Tensor:
    """Return how unlike the border each pixel is, (B, H, W) on the CPU.

    It is the mean over the layers, each brought to [0, 1]. What a place
    is like in a picture of the mean colour is taken off: zeros around the
    picture and position embeddings make the border differ from the rest.

    Args:
        images: RGB in [0, 1] (B, 3, H, W).
        look: How a network looks at such pictures.
    """
    flat = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    seen, empty = look(images), look(flat)
    maps = []
    for name, layer in seen.layers.items():
        more = layer - empty.layers[name]
        more[more.abs() < ROUNDING * layer.abs().amax()] = 0
        far = border_distance(as_map(more).cpu())
        large = F.interpolate(far[:, None], images.shape[2:], mode='bilinear')
        maps.append(torch.stack([unit_range(each) for each in large[:, 0]]))
    return torch.stack(maps).mean(dim=0)


def as_map(layer: Tensor) -> Tensor:
    """Lay tokens (B, 1 + h * w, C) of a square out as a map (B, C, h, w)."""
    if layer.dim() == 4:
        return layer
    side = round((layer.shape[1] - 1) ** 0.5)
    return layer[:, 1:].mT.unflatten(2, (side, side))


def border_distance(maps: Tensor) -> Tensor:
    """Return the Mahalanobis distance of each position from the border's.

    Args:
        maps: A layer (B, C, h, w).

    Returns:
        float32 (B, h, w); 0 where all positions are alike.
    """
    edge = torch.ones(maps.shape[2:], dtype=torch.bool, device=maps.device)
    edge[1:-1, 1:-1] = False
    features = maps.flatten(2).mT.double()  # (B, h * w, C)
    border = features[:, edge.flatten()]  # (B, E, C)
    ridge = RIDGE * features.var(dim=1, unbiased=False).mean(dim=1)
    far = mahalanobis(border, border, ridge)
    near = far.topk(max(1, round(KEPT * far.shape[1])), largest=False)[1]
    kept = border.take_along_dim(near[..., None], dim=1)
    far = mahalanobis(features, kept, ridge)
    return far.unflatten(1, maps.shape[2:]).float()


def mahalanobis(points: Tensor, cloud: Tensor, ridge: Tensor) -> Tensor:
    """Return the Mahalanobis distances of points from clouds.

    Args:
        points: (B, L, C).
        cloud: (B, E, C).
        ridge: What is added to the variance in all directions, (B,).

    Returns:
        (B, L).
    """
    mean = cloud.mean(dim=1, keepdim=True)
    around = cloud - mean
    spread = around.mT @ around / around.shape[1]  # (B, C, C)
    ridge = ridge.clamp(min=torch.finfo(ridge.dtype).eps)
    spread.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(spread), (points - mean).mT, upper=False
    )  # (B, C, L)
    return white.norm(dim=1)


def cut_out(image: Tensor, unlike: np.ndarray) -> np.ndarray:
    """Cut out of a picture what is unlike its border.

    Args:
        image: RGB in [0, 1] (3, H, W).
        unlike: (H, W), of which what lies above Otsu's threshold is the
            first guess.

    Returns:
        bool (H, W); none where nothing is unlike.
    """
    step = otsu(unlike)
    frame = np.ones(unlike.shape, bool)
    inner = slice(width := max(1, round(FRAME * len(frame))), -width)
    frame[inner, inner] = False
    guess = (unlike > step) & ~frame
    if not guess.any():
        return guess
    label = np.where(guess, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    label[frame] = cv2.GC_BGD
    inside = grab_cut(image, label)
    if (inside & guess).sum() < LEAST * guess.sum():
        # colours that both have; what is most unlike is held fast then
        label[unlike > step + SURE * (unlike.max() - step)] = cv2.GC_FGD
        label[frame] = cv2.GC_BGD
        inside = grab_cut(image, label)
    return inside if inside.any() else guess


def grab_cut(image: Tensor, label: np.ndarray) -> np.ndarray:
    """Run OpenCV's GrabCut from labels of it (H, W), return its foreground."""
    bgr = 255 * image.cpu().permute(1, 2, 0).numpy()[..., ::-1]
    found, colours = label.copy(), np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)  # its first clusters are drawn at random
    cv2.grabCut(
        np.ascontiguousarray(bgr.round().astype(np.uint8)),
        found,
        None,
        *colours,
        ROUNDS,
        cv2.GC_INIT_WITH_MASK,
    )
    return np.isin(found, (cv2.GC_FGD, cv2.GC_PR_FGD))


def parts_of(mask: np.ndarray, thin: int = 0) -> np.ndarray:
    """Return the connected parts of a mask, bool (P, H, W).

    Args:
        mask: bool (H, W).
        thin: Half of the width in pixels of what is cut off before; where
            nothing would be left, nothing is.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thin + 1,) * 2)
    thick = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    if not thick.any():
        thick = mask.astype(np.uint8)
    count, label = cv2.connectedComponents(thick, connectivity=4)
    return label == np.arange(1, count)[:, None, None]
