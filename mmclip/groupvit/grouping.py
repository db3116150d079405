"""The grouping block and the stage of transformer blocks before it.

B images, N image tokens or segments, G group tokens, G' segments that a block
puts out, C width.
"""

from collections.abc import Sequence

import torch
from timm.layers import Mlp
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mmclip.groupvit.attention import AssignAttention, CrossAttentionBlock


class TokenMixer(Mlp):
    """Mix tokens with each other, channel by channel: (B, G, C) to G'."""

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, G, C) into (B, G', C)."""
        return super().forward(x.transpose(-2, -1)).transpose(-2, -1)


def segment_norm(dim: int, residual: bool) -> nn.LayerNorm:
    """Build the norm of segments.

    Without the residual an empty group is all zeros, where the gradient of a
    LayerNorm is 1 / sqrt(eps): 316 as published, 10 here.
    """
    return nn.LayerNorm(dim, eps=1e-5 if residual else 1e-2)


class GroupingBlock(nn.Module):
    """Merge image tokens into segments, one for each group token.

    Args:
        dim: C.
        num_group_tokens: G.
        num_output_groups: G'.
        num_heads: Heads of the cross attention.
        mlp_ratio: Hidden over outer width of the channel MLPs; tokens are
            mixed through C / 2 hidden units.
        assign, tau, gain: See
            :class:`mmclip.groupvit.attention.AssignAttention`.
        residual: Whether segments keep what their group tokens hold, as
            published. Without it all that is in a segment was merged from
            its tokens.
    """

    def __init__(
        self,
        dim: int,
        num_group_tokens: int,
        num_output_groups: int,
        *,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        assign: str = 'gumbel',
        tau: float = 1.0,
        gain: float = 1.0,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.norm_tokens = nn.LayerNorm(dim)
        self.mlp_inter = TokenMixer(
            num_group_tokens, dim // 2, num_output_groups
        )
        self.norm_post_tokens = nn.LayerNorm(dim)
        self.norm_x = nn.LayerNorm(dim)
        self.pre_assign_attn = CrossAttentionBlock(dim, num_heads, mlp_ratio)
        self.assign = AssignAttention(dim, assign, tau, gain)
        self.residual = residual
        self.norm_new_x = segment_norm(dim, residual)
        self.mlp_channels = Mlp(dim, int(dim * mlp_ratio))

    def forward(
        self, x: Tensor, groups: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Merge tokens.

        Args:
            x: Image tokens (B, N, C).
            groups: Group tokens (B, G, C).
            noise: Gumbel samples (B, G', N) for training.

        Returns:
            Segments (B, G', C) and each token's shares (B, G', N).
        """
        x = self.norm_x(x)
        groups = self.group_queries(x, groups)
        merged, soft = self.assign(groups, x, noise)
        return self.finish(merged, groups), soft

    def group_queries(self, x: Tensor, groups: Tensor) -> Tensor:
        """Return what asks for the normalised tokens ``x``, (B, G', C)."""
        groups = self.mlp_inter(self.norm_tokens(groups))
        return self.pre_assign_attn(self.norm_post_tokens(groups), x)

    def finish(self, merged: Tensor, groups: Tensor) -> Tensor:
        """Make segments of what each group merged and what asked for it."""
        segments = merged + groups if self.residual else merged
        return segments + self.mlp_channels(self.norm_new_x(segments))


class GroupingStage(nn.Module):
    """Run transformer blocks over image and group tokens, then merge.

    Args:
        dim: C.
        num_group_tokens: G; 0 for a stage of image tokens alone.
        num_output_groups: G'; 0 for a stage that merges nothing.
        num_previous_tokens: Group tokens of the stage before, which this
            stage's tokens are predicted from; 0 where there are none.
        num_heads, mlp_ratio: Of the transformer blocks.
        drop_path: Rate of stochastic depth, one a block.
        assign, tau, gain, residual: See :class:`GroupingBlock`.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_group_tokens: int,
        num_output_groups: int,
        num_previous_tokens: int,
        num_heads: int,
        mlp_ratio: float,
        drop_path: Sequence[float],
        assign: str,
        tau: float,
        gain: float = 1.0,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.group_token = self.group_projector = self.downsample = None
        if num_group_tokens:
            # zero where the projector tells the tokens apart
            self.group_token = nn.Parameter(
                torch.zeros(1, num_group_tokens, dim)
            )
        if num_group_tokens and num_previous_tokens:
            self.group_projector = nn.Sequential(
                nn.LayerNorm(dim),
                TokenMixer(num_previous_tokens, dim // 2, num_group_tokens),
            )
        elif num_group_tokens:
            nn.init.trunc_normal_(self.group_token, std=0.02)
        self.blocks = nn.ModuleList(
            Block(
                dim,
                num_heads,
                mlp_ratio,
                qkv_bias=True,
                drop_path=rate,
                norm_layer=nn.LayerNorm,  # eps 1e-5, unlike timm's own
            )
            for rate in drop_path
        )
        if num_output_groups:
            self.downsample = GroupingBlock(
                dim,
                num_group_tokens,
                num_output_groups,
                num_heads=num_heads,
                mlp_ratio=mlp_ratio,
                assign=assign,
                tau=tau,
                gain=gain,
                residual=residual,
            )

    def tokens(self, previous: Tensor | None, batch: int) -> Tensor:
        """Return the group tokens that enter the stage, (B, G, C)."""
        own = self.group_token.expand(batch, -1, -1)
        if self.group_projector is None:
            return own
        return own + self.group_projector(previous)

    def forward(
        self,
        x: Tensor,
        previous: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Run the stage.

        Args:
            x: Image tokens or segments (B, N, C).
            previous: Group tokens of the stage before, as its blocks left
                them.
            noise: Gumbel samples (B, G', N) for training.

        Returns:
            Segments (B, G', C), the tokens ``x`` after the blocks (B, N, C),
            the group tokens after the blocks or ``None``, and the shares
            (B, G', N) or ``None``.
        """
        count = x.shape[1]
        groups = None
        if self.group_token is not None:
            x = torch.cat([x, self.tokens(previous, len(x))], dim=1)
        for block in self.blocks:
            x = block(x)
        if self.group_token is not None:
            x, groups = x[:, :count], x[:, count:]
        if self.downsample is None:
            return x, x, groups, None
        segments, soft = self.downsample(x, groups, noise)
        return segments, x, groups, soft
