"""Bring the layers of an encoder together at half the image's resolution.

B images, C channels of a layer, F channels of the neck, h x w positions.

Convention: each fusion doubles both sides bilinearly with
align_corners=True, so the sides of the layers must be 8, 4, 2 and 1 times
those of the deepest (DPT; mmseg's parts are the same numbers where they
exist, and are used).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.models.decode_heads.dpt_head import (
    FeatureFusionBlock,
    PreActResidualConvUnit,
)
from mmseg.models.utils import resize
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

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
        maps = [self.level(k, *pair(layer)) for k, layer in enumerate(layers)]
        fused = self.fusion[-1](maps.pop())
        for fusion in self.fusion[-2::-1]:
            fused = fusion(fused, maps.pop())
        return fused

    def level(self, k: int, patches: Tensor, token: Tensor | None) -> Tensor:
        """Bring layer ``k`` to its place in the pyramid and to F channels."""
        if self.reassemble is not None:
            patches = self.reassemble[k](patches, token)
        return self.lateral[k](patches)


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

    def __init__(
        self, in_channels: int, act_cfg: dict, norm_cfg: dict
    ) -> None:
        super().__init__(in_channels, act_cfg, norm_cfg)
        self.res_conv_unit1 = ResidualUnit(in_channels, act_cfg, norm_cfg)
        self.res_conv_unit2 = ResidualUnit(in_channels, act_cfg, norm_cfg)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Add a level (B, F, h, w) to the deeper ones; (B, F, 2 h, 2 w)."""
        if skip is not None:
            if x.shape != skip.shape:
                raise ValueError(
                    f'a level of {tuple(skip.shape[2:])} cannot be added to '
                    f'{tuple(x.shape[2:])}: the image must be a multiple of '
                    'twice the last stride (32); set size_divisor'
                )
            x = self.res_conv_unit1(skip).add_(x)
        return resize(
            self.project(self.res_conv_unit2(x)),
            scale_factor=2,
            mode='bilinear',
            align_corners=self.align_corners,
            warning=False,
        )


class ResidualUnit(PreActResidualConvUnit):
    """mmseg's unit; in inference its norms are folded into convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, F, h, w), a tensor that nobody else holds."""
        norms = self.conv1.norm, self.conv2.norm
        if torch.is_grad_enabled() or any(map(needs_batch, norms)):
            return super().forward(x)
        out = folded(self.conv1, F.relu(x))
        return folded(self.conv2, out.relu_()).add_(x)


def needs_batch(norm: nn.Module) -> bool:
    """Tell whether a norm is more than a constant factor and addend."""
    plain = isinstance(norm, _BatchNorm) and norm.track_running_stats
    return norm.training or not plain


def folded(module: ConvModule, x: Tensor) -> Tensor:
    """Convolve and normalise x (B, F, h, w) at once."""
    conv, norm = module.conv, module.norm
    factor = torch.rsqrt(norm.running_var.float() + norm.eps)
    if norm.affine:
        factor = factor * norm.weight.float()
    addend = -norm.running_mean.float() * factor
    if norm.affine:
        addend = addend + norm.bias.float()
    weight = conv.weight * factor[:, None, None, None]
    return F.conv2d(
        x,
        weight.to(conv.weight.dtype),
        addend.to(conv.weight.dtype),
        stride=conv.stride,
        padding=conv.padding,
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
