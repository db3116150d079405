"""Merge the groups of several crops, so that an object has one name.

W windows, G groups of a window, M merged groups, D common width.

Sliding windows name their groups each by itself: where an object reaches over
two windows, the halves may be called differently, and a window's few groups
see nothing of the rest. Here the groups of all windows that mean the same
become one before anything is named.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.clip.windows import join_windows
from mmclip.groupvit.head import GroupFeatures
from mmclip.groupvit.regions import merge
from mmclip.groupvit.segmentation import paint


def merge_crops(
    crops: list[GroupFeatures], threshold: float
) -> list[GroupFeatures]:
    """Give groups of several crops of one image common features.

    Args:
        crops: Each crop's groups, B = 1.
        threshold: Groups whose features' cosine is above it are one.

    Returns:
        The crops, whose groups have the mean features of those they were
        merged with, weighted by pixels, and whose image features are the
        mean of all crops.
    """
    areas = torch.cat([pixels_of(crop) for crop in crops])  # (W * G,)
    units = F.normalize(torch.cat([c.groups[0] for c in crops]), dim=-1)
    members = merge(units, areas, threshold, len(areas), centre=False)
    image = torch.stack([F.normalize(c.image, dim=-1) for c in crops])
    seen = None
    if crops[0].seen is not None:
        seen = torch.cat([c.seen[0] for c in crops])
    starts = [0]
    for crop in crops:
        starts.append(starts[-1] + crop.groups.shape[1])
    shared = spread(members, areas, units)
    shared_seen = None if seen is None else spread(members, areas, seen)
    return [
        replace(
            crop,
            image=image.mean(dim=0),
            groups=shared[None, start:stop],
            seen=None if seen is None else shared_seen[None, start:stop],
        )
        for crop, start, stop in zip(crops, starts, starts[1:])
    ]


def pixels_of(crop: GroupFeatures) -> Tensor:
    """Count the pixels of each group, float (G,)."""
    counts = torch.bincount(
        crop.labels.flatten(), minlength=crop.groups.shape[1]
    )
    return counts.to(crop.groups)


def spread(members: Tensor, areas: Tensor, values: Tensor) -> Tensor:
    """Return for each group the mean of those it was merged with.

    Args:
        members: One-hot (M, W * G).
        areas: Pixels (W * G,).
        values: (W * G, D).
    """
    weight = members.to(values) * areas.clamp_min(1e-3)
    weight = weight / weight.sum(dim=1, keepdim=True)
    return members.to(values).t() @ (weight @ values)


def merged_scores(
    model, inputs: Tensor, windows: list[tuple], threshold: float
) -> Tensor:
    """Score the pixels of images from merged windows.

    Args:
        model: A segmentor with ``extract_feat`` and ``decode_head``.
        inputs: Images (B, 3, H, W).
        windows: Index tuples, see :func:`mmclip.clip.windows.windows_of`.
        threshold: See :func:`merge_crops`.

    Returns:
        (B, K, H, W), averaged where windows overlap.
    """
    found = []
    for image in inputs.split(1):
        crops = [model.extract_feat(image[w]) for w in windows]
        parts = [
            paint(model.decode_head.group_scores(crop), crop.labels)
            for crop in merge_crops(crops, threshold)
        ]
        found.append(join_windows(parts, windows, image, lambda s, _: s))
    return torch.cat(found)
