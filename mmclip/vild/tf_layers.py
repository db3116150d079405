"""Layers as the TensorFlow release of ViLD computes them.

Convention: with ``padding='SAME'`` TensorFlow pads as little as the output
size needs, the odd pixel at the bottom and right; PyTorch pads both sides
alike. They differ where a stride meets an even size.
"""

import warnings

import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_norm_layer
from torch import Tensor, nn


def pad_same(
    x: Tensor, kernel_size: int, stride: int, value: float = 0.0
) -> Tensor:
    """Pad (B, C, H, W) as TensorFlow's ``SAME`` does."""
    pads = []
    for size in (x.shape[-1], x.shape[-2]):  # F.pad begins with the last
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + kernel_size - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's ``SAME`` padding."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        return super().forward(
            pad_same(x, self.kernel_size[0], self.stride[0])
        )


class SameMaxPool2d(nn.MaxPool2d):
    """Max pooling with TensorFlow's ``SAME`` padding."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, C, H, W)."""
        padded = pad_same(x, self.kernel_size, self.stride, float('-inf'))
        return super().forward(padded)


class VectorNorm(nn.Module):
    """A 2-d norm on vectors (R, C), so that one ``norm_cfg`` serves all.

    Args:
        norm_cfg: As for mmcv's ``build_norm_layer``.
        num_features: C.
    """

    def __init__(self, norm_cfg: dict, num_features: int):
        super().__init__()
        self.norm = build_norm_layer(norm_cfg, num_features)[1]

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (R, C)."""
        return self.norm(x[..., None, None]).flatten(1)


def biased_conv(in_channels: int, out_channels: int, norm_cfg) -> ConvModule:
    """Return conv3x3 with bias, norm and ReLU.

    A bias before a norm is of no use, and mmcv warns of it; the release has
    it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return ConvModule(
            in_channels,
            out_channels,
            3,
            padding=1,
            bias=True,
            norm_cfg=norm_cfg,
            inplace=False,
        )
