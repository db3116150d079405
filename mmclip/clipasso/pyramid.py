"""Look at pixels instead of through a CLIP: drawings can be traced so.

B pictures, H x W pixels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clipasso.features import CLIPFeatures
from mmclip.registry import MODELS


@MODELS.register_module()
class PixelPyramid(nn.Module):
    """See pictures averaged over squares of 1, 2, 4, ... pixels.

    It takes the place of
    :class:`mmclip.clipasso.features.CLIPFeatureExtractor` where a line
    drawing is to be traced, and in tests. It has no embedding.

    Args:
        layers: ``'scale1'``, ``'scale2'``, ``'scale4'``, ...: the side of the
            squares in pixels.
        pooled: Must be false.

    Raises:
        ValueError: A layer has another name, or an embedding is wanted.
    """

    name = 'pixels (no CLIP)'

    def __init__(
        self, layers: Sequence[str] = ('scale1',), pooled: bool = False
    ) -> None:
        super().__init__()
        sides = [name.removeprefix('scale') for name in layers]
        if (
            pooled
            or not sides
            or not all(s.isdigit() and int(s) for s in sides)
        ):
            raise ValueError(
                f'layers={list(layers)}, pooled={pooled}: a pyramid of pixels '
                "has layers such as 'scale4' and no embedding, so it goes "
                'with a CLIPGeometricLoss of such layers alone'
            )
        self.layers = list(layers)
        self.sides = [int(side) for side in sides]

    @property
    def encoder(self) -> 'PixelPyramid':
        """Return itself: there is nothing inside that looks."""
        return self

    def forward(self, images: Tensor) -> CLIPFeatures:
        """Look at RGB pictures (B, 3, H, W) in [0, 1]."""
        scales = [F.avg_pool2d(images, side) for side in self.sides]
        return CLIPFeatures(dict(zip(self.layers, scales)))

    @torch.no_grad()
    def look_at_target(self, images: Tensor) -> CLIPFeatures:
        """Do the same without a graph."""
        return self(images)
