"""Bring the layers of an encoder together at half the image's resolution.

B images, C channels of a layer, F channels of the neck, h x w positions.

Convention: each fusion doubles both sides bilinearly with
align_corners=True, so the sides of the layers must be 8, 4, 2 and 1 times
those of the deepest (DPT; mmseg's parts are the same numbers where they
exist, and are used).
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmseg.models.decode_heads.dpt_head import FeatureFusionBlock
from mmseg.models.utils import resize
from torch import Tensor, nn

from mmclip.registry import MODELS

READOUTS = ('ignore', 'add', 'project')
Layer = Tensor | tuple[Tensor, Tensor | None]


@MODELS.register_module()
class DPTNeck(BaseModule):
    """DPT's reassembling and fusing of four layers (DPT, fig. 1).

    Args:
        in_channels: C of each layer, the shallowest first.
        channels: F.
        reassemble: How the equal maps of a ViT become a pyramid:
            ``dict(out_channels=(256, 512, 1024, 1024), factors=(4, 2, 1,
            0.5), readout='project')``, see :class:`Reassemble`; None where
            the encoder has a pyramid already.
        norm_cfg: Norm of the fusion's residual units.

    Attributes:
        out_channels (int): F.

    Raises:
        ValueError: The lists have different lengths.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (1024, 1024, 1024, 1024),
        channels: int = 256,
        *,
        reassemble: dict | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type='BN')
        self.out_channels = channels
        self.reassemble, widths = None, list(in_channels)
        if reassemble is not None:
            options = dict(reassemble)
            readout = options.pop('readout', 'project')
            levels = {'in_channels': list(in_channels), **options}
            if len({len(values) for values in levels.values()}) > 1:
                raise ValueError(
                    f'reassemble and in_channels must have an entry for each '
                    f'layer, got {levels}'
                )
            self.reassemble = nn.ModuleList(
                Reassemble(*each, readout=readout)
                for each in zip(
                    in_channels, options['out_channels'], options['factors']
                )
            )
            widths = options['out_channels']
        self.lateral = nn.ModuleList(
            nn.Conv2d(c, channels, 3, padding=1, bias=False) for c in widths
        )
        self.fusion = nn.ModuleList(
            FusionBlock(channels, dict(type='ReLU'), norm_cfg) for _ in widths
        )
        self.fusion[-1].res_conv_unit1 = None  # the deepest has no other

    def forward(self, layers: Sequence[Layer]) -> Tensor:
        """Fuse the layers.

        Args:
            layers: Maps (B, C, h, w), or pairs of a map and a class token
                (B, C), the shallowest first.

        Returns:
            One map (B, F, 2 h, 2 w) of the shallowest layer's h x w.

        Raises:
            ValueError: Their number is another, or their sides are not 8, 4,
                2 and 1 times those of the deepest.
        """
        if len(layers) != len(self.lateral):
            raise ValueError(
                f'the neck was made for {len(self.lateral)} layers but the '
                f'backbone gives {len(layers)}: set out_indices'
            )
        if self.reassemble is not None:
            layers = [r(*pair(x)) for r, x in zip(self.reassemble, layers)]
        maps = [conv(pair(x)[0]) for conv, x in zip(self.lateral, layers)]
        fused = self.fusion[-1](maps[-1])
        for fusion, skip in zip(self.fusion[-2::-1], maps[-2::-1]):
            fused = fusion(fused, skip)
        return fused


class Reassemble(nn.Module):
    """Turn the tokens of one block into one level of a pyramid.

    Args:
        in_channels: C of the block.
        out_channels: Channels of the level.
        factor: How many times longer the sides become: 1, a whole number, or
            0.5.
        readout: What becomes of the class token: ``'ignore'``, ``'add'`` to
            every patch, or ``'project'`` both together back to C.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        factor: float,
        readout: str = 'project',
    ) -> None:
        super().__init__()
        if readout not in READOUTS:
            raise ValueError(
                f"readout='{readout}': expected one of {READOUTS}"
            )
        self.readout_type = readout
        if readout == 'project':
            self.readout = nn.Sequential(
                nn.Linear(2 * in_channels, in_channels), nn.GELU()
            )
        self.project = nn.Conv2d(in_channels, out_channels, 1)
        self.resize = resizing(out_channels, factor)

    def forward(self, patches: Tensor, token: Tensor | None) -> Tensor:
        """Return the level (B, out_channels, factor h, factor w).

        Raises:
            ValueError: The read-out needs a class token and there is none.
        """
        if self.readout_type != 'ignore':
            if token is None:
                raise ValueError(
                    f"readout='{self.readout_type}' needs a class token and "
                    "the backbone gives none: set readout='ignore'"
                )
            patches = self.read(patches, token)
        return self.resize(self.project(patches))

    def read(self, patches: Tensor, token: Tensor) -> Tensor:
        """Give the class token (B, C) to every patch (B, C, h, w)."""
        if self.readout_type == 'add':
            return patches + token[:, :, None, None]
        places = patches.flatten(2).transpose(1, 2)  # (B, h * w, C)
        both = torch.cat([places, token[:, None].expand_as(places)], dim=2)
        mixed = self.readout(both).transpose(1, 2)  # (B, C, h * w)
        return mixed.reshape(patches.shape)


class FusionBlock(FeatureFusionBlock):
    """mmseg's block, with the 1 x 1 convolution before the doubling.

    Both are linear and a bilinear sample's weights add up to 1, so the order
    does not matter, and this one has a quarter of the work.
    """

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Add a level (B, F, h, w) to the deeper ones; (B, F, 2 h, 2 w)."""
        if skip is not None:
            if x.shape != skip.shape:
                raise ValueError(
                    f'a level of {tuple(skip.shape[2:])} cannot be added to '
                    f'{tuple(x.shape[2:])}: the image must be a multiple of '
                    'twice the last stride (32); set size_divisor'
                )
            x = x + self.res_conv_unit1(skip)
        return resize(
            self.project(self.res_conv_unit2(x)),
            scale_factor=2,
            mode='bilinear',
            align_corners=self.align_corners,
            warning=False,
        )


def resizing(channels: int, factor: float) -> nn.Module:
    """Return the layer that makes the sides ``factor`` times longer."""
    if factor == 1:
        return nn.Identity()
    if factor == 0.5:
        return nn.Conv2d(channels, channels, 3, stride=2, padding=1)
    if factor != int(factor) or factor < 1:
        raise ValueError(
            f'factor={factor}: expected 0.5, 1 or a larger whole number'
        )
    return nn.ConvTranspose2d(
        channels, channels, int(factor), stride=int(factor)
    )


def pair(layer: Layer) -> tuple[Tensor, Tensor | None]:
    """Return (map, class token or None)."""
    return layer if isinstance(layer, (tuple, list)) else (layer, None)
