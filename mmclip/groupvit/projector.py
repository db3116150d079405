"""The MLP that brings an encoder's features to the common width.

N features, C width of the encoder, D common width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.groupvit.gathering import RankSyncedBatchNorm1d
from mmclip.registry import MODELS


@MODELS.register_module()
class GroupViTProjector(nn.Module):
    """Project features with one hidden layer.

    The layers are convolutions of size 1, as in the published checkpoints;
    features are their positions.

    Args:
        in_channels: C.
        hidden_channels: Width of the hidden layer.
        out_channels: D.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 4096,
        out_channels: int = 256,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.linear_hidden = nn.Sequential(
            nn.Conv1d(in_channels, hidden_channels, 1),
            RankSyncedBatchNorm1d(hidden_channels),
            nn.ReLU(inplace=True),
        )
        self.linear_out = nn.Conv1d(hidden_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Project (..., C) to (..., D), not normalised."""
        rows = features.reshape(-1, features.shape[-1])  # (N, C)
        widen, norm, relu = self.linear_hidden
        hidden = as_matrix(widen, rows)  # (N, hidden)
        hidden = relu(norm(hidden.t()[None]))[0].t()
        out = as_matrix(self.linear_out, hidden)  # (N, D)
        return out.reshape(*features.shape[:-1], -1)


def as_matrix(layer: nn.Conv1d, rows: Tensor) -> Tensor:
    """Apply a convolution of size 1 to rows (N, C), as a product.

    torch's own convolution takes several times as long on a CPU.
    """
    return F.linear(rows, layer.weight[..., 0], layer.bias)
