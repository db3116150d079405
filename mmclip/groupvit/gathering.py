"""Normalise over the rows of all ranks.

N columns of this rank, C channels.
"""

import torch
from torch import Tensor, nn

from mmclip.clip.gathering import SumOverRanks, gather_rows, world_size

__all__ = ['RankSyncedBatchNorm1d', 'gather_rows', 'world_size']


class RankSyncedBatchNorm1d(nn.BatchNorm1d):
    """Normalise (1, C, N) by the statistics of all ranks' columns.

    Does what torch's ``SyncBatchNorm`` does, also on CPUs and for ranks of
    unequal N; its parameters and buffers are those of ``BatchNorm1d``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        columns = x.to(torch.promote_types(x.dtype, torch.float32))
        count = SumOverRanks.apply(columns.new_tensor([x.shape[2]]))
        mean = SumOverRanks.apply(columns.sum(dim=(0, 2))) / count  # (C,)
        centred = columns - mean[:, None]
        var = SumOverRanks.apply(centred.square().sum(dim=(0, 2))) / count
        self.follow(mean.detach(), var.detach() * count / (count - 1))
        scale = self.weight / (var + self.eps).sqrt()
        return (centred * scale[:, None] + self.bias[:, None]).to(x.dtype)

    @torch.no_grad()
    def follow(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics towards a batch's."""
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)
