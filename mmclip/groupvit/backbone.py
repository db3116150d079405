"""GroupViT's image encoder: patches in, a few segments and their masks out.

B images, (h, w) grid of patches, N = h * w, G groups of a stage, C width.

Convention: position embeddings are resized bicubically and group maps
bilinearly, both with align_corners=False. Images whose sides are no multiple
of the patch are padded with zeros at the right and bottom.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmclip.groupvit.attention import straight_through
from mmclip.groupvit.group_counts import resize_groups as resized
from mmclip.groupvit.grouping import GroupingStage, segment_norm
from mmclip.registry import MODELS

OUTPUTS = ('featmap', 'raw', 'avg_featmap')


@dataclass
class Grouping:
    """What an image falls into.

    Attributes:
        segments: Normalised features of the last stage's tokens (B, G, C).
        assignments: For each grouping block, its tokens' shares in its
            groups (B, G_i, G_(i-1)); the first one's tokens are patches.
        tokens: Each stage's image tokens after its blocks, (B, G, C).
        group_tokens: Each stage's group tokens after its blocks, (B, G', C),
            or None.
        merged: For each stage, how many grouping blocks ran before it.
        grid: (h, w).
        size: (H, W) of the images in pixels.
        patch: Pixels of a patch's side.
    """

    segments: Tensor
    assignments: list[Tensor]
    tokens: list[Tensor]
    group_tokens: list[Tensor | None]
    merged: list[int]
    grid: tuple[int, int]
    size: tuple[int, int]
    patch: int

    @property
    def pooled(self) -> Tensor:
        """Return the images' features (B, C)."""
        return self.segments.mean(dim=1)

    def shares(self, stage: int = -1, hard: bool = False) -> Tensor:
        """Return each patch's shares in a block's groups (B, G, N).

        Args:
            stage: Which grouping block.
            hard: Whether each token counts for its best group alone, as the
                paper says (sec. 3.4); the published evaluation multiplies
                shares as they are.
        """
        if not self.assignments:  # every patch is a group of its own
            eye = torch.eye(self.grid[0] * self.grid[1])
            return eye.to(self.segments).expand(len(self.segments), -1, -1)
        used = self.assignments[: stage % len(self.assignments) + 1]
        first, *later = map(straight_through, used) if hard else used
        for assignment in later:
            first = assignment @ first
        return first

    def patch_maps(self, stage: int = -1, hard: bool = False) -> Tensor:
        """Return the shares over the grid, (B, G, h, w)."""
        return self.shares(stage, hard).unflatten(2, self.grid)

    def maps(self, stage: int = -1, hard: bool = False) -> Tensor:
        """Return the shares of all pixels, (B, G, H, W)."""
        return self.resize(self.patch_maps(stage, hard))

    def resize(self, maps: Tensor) -> Tensor:
        """Bring maps over the grid (B, G, h, w) to pixels (B, G, H, W)."""
        high, wide = (self.patch * side for side in self.grid)
        maps = F.interpolate(maps, (high, wide), mode='bilinear')
        return maps[..., : self.size[0], : self.size[1]]

    def labels(self, stage: int = -1, hard: bool = False) -> Tensor:
        """Return the group of every pixel, int64 (B, H, W)."""
        return self.maps(stage, hard).argmax(dim=1)

    def feature_map(self, stage: int) -> Tensor:
        """Lay a stage's tokens out over the patches, (B, C, h, w).

        A patch gets the features of its groups, weighted by its shares.
        """
        tokens = self.tokens[stage].transpose(-2, -1)  # (B, C, G)
        if self.merged[stage]:
            shares = self.shares(self.merged[stage] - 1)  # (B, G, N)
            tokens = tokens @ shares.to(tokens.dtype)
        return tokens.unflatten(2, self.grid)


class PatchEmbed(nn.Module):
    """Cut images into patches: a strided convolution, then LayerNorm.

    ``stem_channels`` and ``stem_strides`` put convolutions before it; see
    :class:`GroupViTBackbone`.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int,
        patch_size: int,
        stem_channels: Sequence[int] = (),
        stem_strides: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        strides = stem_strides_of(stem_channels, stem_strides, patch_size)
        side = patch_size // math.prod(strides)
        if stem_channels:  # no such entries in a published state dict
            self.stem = conv_stem(in_channels, stem_channels, strides)
            in_channels = stem_channels[-1]
        self.proj = nn.Conv2d(in_channels, dim, side, side)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the patches (B, N, C) and their grid."""
        height, width = images.shape[2:]
        side = self.patch_size
        if height % side or width % side:
            images = F.pad(images, (0, -width % side, 0, -height % side))
        if hasattr(self, 'stem'):
            images = self.stem(images)
        x = self.proj(images)  # (B, C, h, w)
        return self.norm(x.flatten(2).transpose(-2, -1)), tuple(x.shape[2:])


def stem_strides_of(
    channels: Sequence[int], strides: Sequence[int] | None, patch_size: int
) -> list[int]:
    """Return the stride of every stem convolution, 2 where none are given.

    Raises:
        ValueError: There are more or fewer strides than convolutions, or
            together they do not divide the patch.
    """
    strides = [2] * len(channels) if strides is None else list(strides)
    if len(strides) != len(channels):
        raise ValueError(
            f'{len(strides)} stem_strides for {len(channels)} stem_channels: '
            'give one for each, or None for 2 everywhere'
        )
    if patch_size % math.prod(strides):
        raise ValueError(
            f'the stem shrinks images {math.prod(strides)} times, which does '
            f'not divide patch_size={patch_size}: give fewer stem_channels, '
            'smaller stem_strides, or a patch_size that they divide'
        )
    return strides


def conv_stem(
    in_channels: int, channels: Sequence[int], strides: Sequence[int]
) -> nn.Sequential:
    """Build 3x3 convolutions with GroupNorm and ReLU.

    GroupNorm keeps images apart, so that chunks of a batch give what the
    whole gives.
    """
    widths = [in_channels, *channels]
    return nn.Sequential(
        *(
            nn.Sequential(
                nn.Conv2d(a, b, 3, stride, 1, bias=False),
                nn.GroupNorm(1, b),
                nn.ReLU(inplace=True),
            )
            for a, b, stride in zip(widths, channels, strides)
        )
    )


@MODELS.register_module()
class GroupViTBackbone(BaseModule):
    """Merge patches into segments, stage by stage.

    GroupViT (Xu et al., CVPR 2022), sec. 3.1 and 3.2; the defaults are those
    of the published models.

    Args:
        img_size: Side of the training images in pixels; fixes the number of
            position embeddings.
        patch_size: Side of a patch in pixels.
        in_channels: Channels of the images.
        embed_dims: C.
        depths: Transformer blocks of each stage.
        num_heads: Attention heads, one number or one a stage.
        num_group_tokens: Group tokens of each stage; 0 for none.
        num_output_groups: Segments that each stage puts out; stages beyond
            the list, or with 0, merge nothing.
        mlp_ratio: Hidden over outer width of the MLPs.
        drop_path_rate: Stochastic depth of the last block, growing from zero.
        assign: ``'gumbel'``, ``'hard'`` or ``'soft'``; see
            :class:`mmclip.groupvit.attention.AssignAttention`.
        tau: Temperature of the Gumbel softmax.
        gain: Of the assignment's initial weights, 1 as published.
        residual: Whether segments keep their group tokens, as published;
            see :class:`mmclip.groupvit.grouping.GroupingBlock`.
        out_type: What ``forward`` returns: ``'featmap'`` a map (B, C, h, w)
            for each of ``out_indices``, ``'raw'`` the segments (B, G, C),
            ``'avg_featmap'`` their mean (B, C).
        out_indices: Stages whose maps are returned.
        stem_channels: Widths of 3x3 convolutions before the patches are
            cut; none as published. With few images a network learns faster
            behind them (Xiao et al., 2021).
        stem_strides: Their strides; ``None`` for 2 everywhere.
        patch_keep: Share of the patches, drawn anew for every image, that
            training looks at (Li et al., 2023); 1 as published. Fewer are
            faster, and what an image shows cannot be told by a few patches
            alone, so that groups take all of an object.
        resize_groups: Whether a checkpoint with other numbers of groups is
            brought to these, to be trained on
            (:mod:`mmclip.groupvit.group_counts`), instead of refused.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        img_size: int = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        embed_dims: int = 384,
        depths: Sequence[int] = (6, 3, 3),
        num_heads: int | Sequence[int] = 6,
        num_group_tokens: Sequence[int] = (64, 8, 0),
        num_output_groups: Sequence[int] = (64, 8),
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        assign: str = 'gumbel',
        tau: float = 1.0,
        gain: float = 1.0,
        residual: bool = True,
        out_type: str = 'featmap',
        out_indices: Sequence[int] = (-1,),
        stem_channels: Sequence[int] = (),
        stem_strides: Sequence[int] | None = None,
        patch_keep: float = 1.0,
        resize_groups: bool = False,
        init_cfg=None,
    ) -> None:
        super().__init__(init_cfg)
        if out_type not in OUTPUTS:
            raise ValueError(
                f"out_type='{out_type}': expected one of {', '.join(OUTPUTS)}"
            )
        heads, outputs = check_stages(
            depths, num_heads, num_group_tokens, num_output_groups
        )
        self.out_type, self.out_indices = out_type, tuple(out_indices)
        self.patch_keep, self.resize_groups = patch_keep, resize_groups
        self.embed_dims = embed_dims
        side = img_size // patch_size
        self.native_grid = (side, side)
        self.patch_embed = PatchEmbed(
            in_channels, embed_dims, patch_size, stem_channels, stem_strides
        )
        self.pos_embed = nn.Parameter(torch.zeros(1, side**2, embed_dims))
        rates = drop_path_rates(drop_path_rate, depths)
        self.layers = nn.ModuleList(
            GroupingStage(
                embed_dims,
                num_group_tokens=num_group_tokens[i],
                num_output_groups=outputs[i],
                num_previous_tokens=num_group_tokens[i - 1] if i else 0,
                num_heads=heads[i],
                mlp_ratio=mlp_ratio,
                drop_path=rates[i],
                assign=assign,
                tau=tau,
                gain=gain,
                residual=residual,
            )
            for i in range(len(depths))
        )
        self.norm = segment_norm(embed_dims, residual)
        self.apply(init_linear)
        for stage in self.layers:
            if stage.downsample is not None:
                stage.downsample.assign.amplify()
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        if self.resize_groups:
            wanted = {
                prefix + name: value.shape
                for name, value in self.state_dict().items()
            }
            state_dict.update(resized(state_dict, wanted))
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def num_groupings(self) -> int:
        """Return how many grouping blocks there are."""
        return sum(stage.downsample is not None for stage in self.layers)

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Return position embeddings for a grid, (1, h * w, C)."""
        if tuple(grid) == self.native_grid:
            return self.pos_embed
        places = self.pos_embed.transpose(-2, -1).unflatten(
            2, self.native_grid
        )
        resized = F.interpolate(places.float(), grid, mode='bicubic')
        return resized.flatten(2).transpose(-2, -1).to(self.pos_embed.dtype)

    def kept(self, patches: Tensor) -> Tensor:
        """Draw ``patch_keep`` of each image's patches in training."""
        if not self.training or self.patch_keep == 1:
            return patches
        count = max(1, round(self.patch_keep * patches.shape[1]))
        order = torch.rand(patches.shape[:2], device=patches.device)
        rows = order.argsort(dim=1)[:, :count, None]  # (B, M, 1)
        return patches.gather(1, rows.expand(-1, -1, patches.shape[2]))

    def encode(
        self, images: Tensor, noise: Sequence[Tensor] | None = None
    ) -> Grouping:
        """Group images.

        Args:
            images: Normalised images (B, in_channels, H, W) of any size.
            noise: For training, the Gumbel samples of each grouping block,
                (B, G_i, G_(i-1)); drawn if not given.

        Raises:
            ValueError: There are more or fewer samples than grouping blocks.
        """
        noise = [None] * self.num_groupings if noise is None else list(noise)
        if len(noise) != self.num_groupings:
            raise ValueError(
                f'{len(noise)} noise tensors for {self.num_groupings} '
                'grouping blocks: give one for each, or None to draw them'
            )
        x, grid = self.patch_embed(images)
        x, groups = self.kept(x + self.positions(grid)), None
        assignments, tokens, group_tokens, merged = [], [], [], []
        for stage in self.layers:
            merged.append(len(assignments))
            given = noise.pop(0) if stage.downsample is not None else None
            x, before, groups, soft = stage(x, groups, given)
            tokens.append(before)
            group_tokens.append(groups)
            assignments += [] if soft is None else [soft]
        return Grouping(
            segments=self.norm(x),
            assignments=assignments,
            tokens=tokens,
            group_tokens=group_tokens,
            merged=merged,
            grid=grid,
            size=tuple(images.shape[2:]),
            patch=self.patch_embed.patch_size,
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return what ``out_type`` says, for heads of mmseg or mmpretrain."""
        grouping = self.encode(images)
        if self.out_type == 'raw':
            return (grouping.segments,)
        if self.out_type == 'avg_featmap':
            return (grouping.pooled,)
        return tuple(grouping.feature_map(i) for i in self.out_indices)


def check_stages(depths, num_heads, num_group_tokens, num_output_groups):
    """Return heads and output groups of every stage.

    Raises:
        ValueError: The lists do not fit each other.
    """
    count = len(depths)
    heads = [num_heads] * count if isinstance(num_heads, int) else num_heads
    outputs = [*num_output_groups, *[0] * (count - len(num_output_groups))]
    if not len(heads) == len(num_group_tokens) == len(outputs) == count:
        raise ValueError(
            f'{count} depths, {len(heads)} num_heads, '
            f'{len(num_group_tokens)} num_group_tokens and '
            f'{len(num_output_groups)} num_output_groups: give one of each a '
            'stage (num_output_groups may leave out the last stages)'
        )
    for i, (tokens, groups) in enumerate(zip(num_group_tokens, outputs)):
        if groups and not tokens:
            raise ValueError(
                f'stage {i} puts out {groups} groups but has no group '
                'tokens: set num_group_tokens, or num_output_groups to 0'
            )
    return list(heads), outputs


def drop_path_rates(last: float, depths: Sequence[int]) -> list[list[float]]:
    """Return each block's rate by stage, growing linearly from 0."""
    total = sum(depths)
    rates = iter(last * i / max(total - 1, 1) for i in range(total))
    return [[next(rates) for _ in range(depth)] for depth in depths]


def init_linear(module: nn.Module) -> None:
    """Fill linear layers as ViTs do: truncated normal 0.02, zero bias."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
