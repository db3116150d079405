"""The MLP that brings an encoder's features to the common width.

N features, C width of the encoder, D common width.
"""

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
        hidden = self.linear_hidden(rows.t()[None])  # (1, hidden, N)
        out = self.linear_out(hidden)[0].t()  # (N, D)
        return out.reshape(*features.shape[:-1], -1)
