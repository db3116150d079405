"""Attention in which group tokens ask and image tokens answer.

B images, G groups, N image tokens or segments of the stage before, C width.
"""

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

ASSIGNMENTS = ('gumbel', 'hard', 'soft')


def gumbel_noise(like: Tensor) -> Tensor:
    """Draw Gumbel(0, 1) samples, float32, in the shape of ``like``."""
    return -torch.empty_like(like, dtype=torch.float32).exponential_().log()


def at_least_float32(x: Tensor) -> Tensor:
    """Return ``x``, in float32 if its precision was less."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def straight_through(soft: Tensor) -> Tensor:
    """Give every token to its best group, with the gradient of ``soft``.

    Args:
        soft: Shares of the groups in each token (B, G, N).

    Returns:
        One-hot over G in value; in the backward pass it is ``soft``
        (sec. 3.2, eq. 4 of the paper).
    """
    best = soft.argmax(dim=-2, keepdim=True)
    hard = torch.zeros_like(soft).scatter_(-2, best, 1.0)
    if not soft.requires_grad:
        return hard
    return hard + (soft - soft.detach())  # the bracket is exactly zero


def group_means(assignment: Tensor, values: Tensor) -> Tensor:
    """Average the values of each group's tokens.

    Args:
        assignment: Shares (B, G, N).
        values: One row a token (B, N, C).

    Returns:
        (B, G, C). The divisor is the group's size plus one, as published, so
        that an empty group gives zero.
    """
    size = assignment.sum(dim=-1, keepdim=True)  # (B, G, 1)
    return (assignment / (size + 1.0)) @ values


class ProjectedAttention(nn.Module):
    """Hold the four projections that both kinds of attention use."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def split(self, x: Tensor) -> Tensor:
        """Turn (B, L, C) into (B, heads, L, C / heads)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class CrossAttention(ProjectedAttention):
    """Let each query mix the values of all keys."""

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Attend from ``query`` (B, G, C) to ``key`` (B, N, C): (B, G, C)."""
        mixed = F.scaled_dot_product_attention(
            self.split(self.q_proj(query)),
            self.split(self.k_proj(key)),
            self.split(self.v_proj(key)),
        )  # (B, heads, G, C / heads)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class CrossAttentionBlock(nn.Module):
    """Update group tokens from image tokens, normalising at the end."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4) -> None:
        super().__init__()
        self.attn = CrossAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.norm_post = nn.LayerNorm(dim)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the updated ``query`` (B, G, C); ``key`` is (B, N, C)."""
        query = query + self.attn(query, key)
        query = query + self.mlp(self.norm2(query))
        return self.norm_post(query)


class AssignAttention(ProjectedAttention):
    """Assign every token to a group and average the tokens of a group.

    Unlike in other attention the softmax runs over the groups that ask, so
    that they compete for tokens (sec. 3.2, eq. 3 of the paper).

    Args:
        dim: C.
        assign: ``'gumbel'``: hard, in training after Gumbel noise was added;
            ``'hard'``: hard without noise; ``'soft'``: shares as they are.
        tau: Temperature of the Gumbel softmax, in training alone.
        gain: Factor on the initial query and key weights. Above 1, groups
            differ from the first step on (not in the paper).
    """

    def __init__(
        self,
        dim: int,
        assign: str = 'gumbel',
        tau: float = 1.0,
        gain: float = 1.0,
    ) -> None:
        super().__init__(dim, num_heads=1)
        if assign not in ASSIGNMENTS:
            raise ValueError(
                f"assign='{assign}': expected one of {', '.join(ASSIGNMENTS)}"
            )
        self.assign, self.tau, self.gain = assign, tau, gain

    def amplify(self) -> None:
        """Apply ``gain`` to weights that were just initialised."""
        with torch.no_grad():
            self.q_proj.weight.mul_(self.gain)
            self.k_proj.weight.mul_(self.gain)

    def logits(self, query: Tensor, key: Tensor) -> Tensor:
        """Return how well each token fits each group, (B, G, N)."""
        scale = query.shape[-1] ** -0.5
        return (self.q_proj(query) * scale) @ self.k_proj(key).transpose(
            -2, -1
        )

    def shares(self, logits: Tensor, noise: Tensor | None = None) -> Tensor:
        """Turn logits (B, G, N) into shares that sum to one over G."""
        logits = at_least_float32(logits)  # halves would lose close calls
        if self.assign == 'gumbel' and self.training:
            noise = gumbel_noise(logits) if noise is None else noise
            logits = (logits + noise) / self.tau
        return logits.softmax(dim=-2)

    def forward(
        self, query: Tensor, key: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Group the tokens.

        Args:
            query: Group tokens (B, G, C).
            key: Image tokens (B, N, C).
            noise: Gumbel samples (B, G, N) to use in training instead of
                drawing them.

        Returns:
            The new segments (B, G, C) and the shares (B, G, N), float32,
            before they are made hard.
        """
        soft = self.shares(self.logits(query, key), noise)
        used = soft if self.assign == 'soft' else straight_through(soft)
        values = self.v_proj(key)
        return self.proj(group_means(used.to(values.dtype), values)), soft
