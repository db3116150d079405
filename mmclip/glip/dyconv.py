"""The dynamic convolution of GLIP's head: each level mixes its neighbours."""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import atss_vlfusion_head as mmdet_head
from torch import Tensor


class DyConv(mmdet_head.DyConv):
    """Convolve a level and its two neighbours deformably; weigh and sum them.

    Dai et al., CVPR 2021 (Dynamic Head), as in GLIP: one 3x3 convolution of
    a level predicts offsets and masks for all three branches. The coarser
    level's branch so gets maps of the finer level's size; mmcv's kernel reads
    their first numbers, and :mod:`mmclip.ops` does the same without it.

    Args:
        in_channels: Channels of the levels.
        out_channels: Channels of the result.
        num_groups: Of the group norms.
        use_dyfuse: Whether branches are weighed before they are summed.
        use_dyrelu: Whether the activation depends on the input.
        use_dcn: Whether convolutions are deformable.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        num_groups: int = 16,
        use_dyfuse: bool = True,
        use_dyrelu: bool = True,
        use_dcn: bool = True,
    ) -> None:
        convolution = partial(
            mmdet_head.Conv3x3Norm,
            use_dcn=use_dcn,
            norm_type=['gn', num_groups],
        )
        super().__init__(
            convolution,
            in_channels,
            out_channels,
            use_dyfuse=use_dyfuse,
            use_dyrelu=use_dyrelu,
            use_dcn=use_dcn,
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Mix levels (B, C, h, w), finest first."""
        return [
            self.relu(self.weigh(self.branches(levels, k)))
            for k in range(len(levels))
        ]

    def branches(self, levels: Sequence[Tensor], k: int) -> list[Tensor]:
        """Convolve level k and its neighbours to the size of level k."""
        level, moved = levels[k], {}
        if self.offset is not None:
            offset, mask = self.offset(level).split((18, 9), dim=1)
            moved = dict(offset=offset, mask=mask.sigmoid())
        coarser, same, finer = self.dyconvs
        found = [same(level, **moved)]
        if k > 0:
            found.append(finer(levels[k - 1], **moved))  # stride 2
        if k < len(levels) - 1:
            small = coarser(levels[k + 1], **moved)
            found.append(
                F.interpolate(
                    small,
                    level.shape[2:],
                    mode='bilinear',
                    align_corners=True,
                )
            )
        return found

    def weigh(self, branches: list[Tensor]) -> Tensor:
        """Average the branches, each by its own weight."""
        if self.attnconv is None:
            return torch.stack(branches).mean(dim=0)
        weighed = [
            x * F.hardsigmoid(self.attnconv(x)) for x in branches
        ]  # weights (B, 1, 1, 1)
        return sum(weighed) / len(weighed)
