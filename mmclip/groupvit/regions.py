"""Merge the groups of an early stage into as many masks as an image needs.

B images, N tokens (groups of an early stage), M masks, C width, D common
width, H x W pixels.

The last stage's few groups bound how many things an image can show, and every
image has to share them out. The groups of the stage before are many and fine:
those that look alike are merged here, image by image, until the rest differ,
and take the last stage's way to the names.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.groupvit.attention import group_means, straight_through


class Regions:
    """Merge an early stage's groups by how alike they are.

    Args:
        threshold: Groups whose features' cosine is above it become one. The
            features are of the tokens of the stage that would merge them,
            which have seen the whole image.
        most: Masks an image may have at most.
        own: How much of a mask's feature comes from its own tokens; the rest
            is that of the last stage's groups they belong to.
    """

    def __init__(
        self, threshold: float = 0.9, most: int = 16, own: float = 1.0
    ) -> None:
        self.threshold, self.most, self.own = threshold, most, own

    def __call__(self, model, grouping) -> tuple[Tensor, Tensor]:
        """Return features (B, M, D) and the mask of each pixel (B, H, W).

        Args:
            model: Has GroupViT's towers.
            grouping: The image encoder's result.

        Raises:
            ValueError: The network has fewer than two grouping blocks.
        """
        if len(grouping.assignments) < 2:
            raise ValueError(
                'merging early groups needs a network of two grouping '
                f'stages, this one has {len(grouping.assignments)}: leave '
                'regions out'
            )
        shares = grouping.shares(-2)  # (B, N, patches)
        stage = grouping.merged.index(len(grouping.assignments) - 1)
        features, maps = [], []
        for image, tokens in enumerate(grouping.tokens[stage]):
            members = merge(
                tokens, shares[image].sum(dim=1), self.threshold, self.most
            )  # (M, N)
            found = regroup(model, grouping, stage, image, members, self.own)
            empty = self.most - len(members)
            features.append(torch.cat([found, found[:1].expand(empty, -1)]))
            maps.append(F.pad(members @ shares[image], (0, 0, 0, empty)))
        maps = torch.stack(maps).unflatten(2, grouping.grid)
        return torch.stack(features), grouping.resize(maps).argmax(dim=1)


def merge(
    tokens: Tensor,
    used: Tensor,
    threshold: float,
    most: int,
    centre: bool = True,
) -> Tensor:
    """Merge one image's tokens, the two most alike first.

    Args:
        tokens: (N, C).
        used: How many patches each has, (N,); those without any join the
            nearest mask at no weight.
        threshold: Cosine below which nothing is merged any more, once there
            are no more than ``most``.
        most: Masks at most.
        centre: Whether the tokens' mean is taken off first: what all share
            tells nothing.

    Returns:
        Which tokens each mask holds, one-hot over masks, float32 (M, N).
    """
    weight = used.clamp_min(1e-3)
    if centre:
        tokens = tokens - (tokens * weight[:, None]).sum(0) / weight.sum()
    sums = tokens * weight[:, None]
    owner = torch.arange(len(tokens), device=tokens.device)
    alive = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
    while int(alive.sum()) > 1:
        unit = F.normalize(sums, dim=1)
        alike = unit @ unit.t()
        alike = alike.masked_fill(~(alive[:, None] & alive), -torch.inf)
        alike.fill_diagonal_(-torch.inf)
        best, place = alike.flatten().max(dim=0)
        if best < threshold and int(alive.sum()) <= most:
            break
        a, b = divmod(int(place), len(tokens))
        sums[a] += sums[b]
        alive[b], owner[owner == b] = False, a
    kept = alive.nonzero()[:, 0]
    return (owner == kept[:, None]).float()


def regroup(
    model, grouping, stage: int, image: int, members: Tensor, own: float
) -> Tensor:
    """Take masks of tokens the last grouping block's way to the names.

    With each mask holding just the tokens of one of the block's groups, and
    ``own`` 1, the result is that group's own feature.

    Args:
        model: Has GroupViT's towers.
        grouping: The image encoder's result.
        stage: The stage whose tokens are grouped.
        image: Which image of the batch.
        members: (M, N).
        own: See :class:`Regions`.

    Returns:
        Features (M, D), not normalised.
    """
    encoder, one = model.img_encoder, slice(image, image + 1)
    block = encoder.layers[stage].downsample
    tokens = block.norm_x(grouping.tokens[stage][one])  # (1, N, C)
    groups = block.group_queries(tokens, grouping.group_tokens[stage][one])
    hard = straight_through(grouping.assignments[-1][one])  # (1, G, N)
    members = members.to(tokens)[None]
    belongs = members @ hard.mT.to(tokens)  # tokens that both hold (1, M, G)
    belongs = belongs / belongs.sum(dim=-1, keepdim=True)
    merged = block.assign.proj(
        group_means(members, block.assign.v_proj(tokens))
    )
    segments = block.finish(merged, belongs @ groups)  # (1, M, C)
    for later in encoder.layers[stage + 1 :]:
        segments = later(segments)[0]
    found = model.img_projector(encoder.norm(segments))[0]
    if own == 1:
        return found
    theirs = model.img_projector(grouping.segments[one])[0]
    return own * found + (1 - own) * belongs[0] @ theirs
