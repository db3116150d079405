"""Smooth the scores of each name over its neighbourhood.

B images, K names, h x w positions.

One kernel serves all names, so that their order and number do not matter
(LSeg, section 3.2).
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

ACTIVATIONS = {
    'relu': nn.ReLU,
    'lrelu': nn.LeakyReLU,  # slope 0.01
    'tanh': nn.Tanh,
}
KINDS = ('bottleneck', 'depthwise')


class SpatialBlock(nn.Module):
    """Apply a 3 x 3 convolution to each name's scores, ``depth`` times.

    Args:
        kind: ``'depthwise'``, or ``'bottleneck'``, which adds the largest
            score of each position before the convolution to all names.
        depth: How often; the weights are the same each time.
        activation: ``'relu'``, ``'lrelu'`` or ``'tanh'``, after all but the
            last.

    Raises:
        ValueError: An argument is none of these.
    """

    def __init__(
        self,
        kind: str = 'bottleneck',
        depth: int = 1,
        activation: str = 'lrelu',
    ) -> None:
        super().__init__()
        if kind not in KINDS or activation not in ACTIVATIONS or depth < 1:
            raise ValueError(
                f'spatial_block got kind={kind!r}, activation={activation!r}, '
                f'depth={depth}: expected a kind of {KINDS}, an activation of '
                f'{tuple(ACTIVATIONS)} and a depth of at least 1; '
                'spatial_block=None leaves it out'
            )
        self.kind, self.depth = kind, depth
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.activation = ACTIVATIONS[activation]()

    def forward(
        self, scores: Tensor, largest: list[Tensor] | None = None
    ) -> Tensor:
        """Smooth scores (B, K, h, w).

        Args:
            scores: Of all names; or of some, with ``largest`` of all.
            largest: What :meth:`largest` returned.
        """
        for step in range(self.depth):
            known = None if largest is None else largest[step]
            scores = self.smooth(scores, known)
            if step < self.depth - 1:
                scores = self.activation(scores)
        return scores

    def smooth(self, scores: Tensor, largest: Tensor | None = None) -> Tensor:
        """Do one step; ``largest`` is (B, 1, h, w)."""
        smoothed = self.conv(scores.flatten(0, 1)[:, None])  # (B K, 1, h, w)
        smoothed = smoothed[:, 0].unflatten(0, (len(scores), -1))
        if self.kind == 'depthwise':
            return smoothed
        if largest is None:
            largest = scores.max(dim=1, keepdim=True).values
        return smoothed + largest

    def largest(
        self, chunks: Callable[[], Iterable[Tensor]]
    ) -> list[Tensor] | None:
        """Find what every step adds, from the scores of some names at a time.

        Args:
            chunks: Returns the scores of all names, (B, some, h, w) at a
                time; it is called once a step.

        Returns:
            For each step the largest score (B, 1, h, w) over all names; None
            for a kind that adds none.
        """
        if self.kind == 'depthwise':
            return None
        found: list[Tensor] = []
        for _ in range(self.depth):
            top = None
            for scores in chunks():
                for known in found:
                    scores = self.activation(self.smooth(scores, known))
                best = scores.max(dim=1, keepdim=True).values
                top = best if top is None else torch.maximum(top, best)
            found.append(top)
        return found
