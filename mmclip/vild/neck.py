"""The feature pyramid of the TF release: norms on its outputs alone."""

from mmcv.cnn import build_norm_layer
from mmdet.models.necks import FPN
from torch import Tensor, nn

from mmclip.registry import MODELS
from mmclip.vild.tf_layers import SameConv2d


@MODELS.register_module()
class ViLDFPN(FPN):
    """mmdet's FPN whose levels are normalised last.

    Further levels come from learnt stride-2 convolutions on the finest level
    below, before its norm. Source: tensorflow/tpu detection, fpn.py.

    Args:
        in_channels: Of each level of the backbone.
        out_channels: Of each level that is returned.
        num_outs: How many.
        norm_cfg: Of the norms; every level has its own.
        **kwargs: As for mmdet's FPN.
    """

    def __init__(
        self,
        in_channels: list[int],
        out_channels: int,
        num_outs: int,
        *,
        norm_cfg: dict,
        **kwargs,
    ):
        super().__init__(
            in_channels,
            out_channels,
            num_outs,
            add_extra_convs='on_output',
            **kwargs,
        )
        for extra in self.fpn_convs[len(self.lateral_convs) :]:
            extra.conv = SameConv2d(out_channels, out_channels, 3, stride=2)
        self.norms = nn.ModuleList(
            build_norm_layer(norm_cfg, out_channels)[1]
            for _ in range(num_outs)
        )

    def forward(self, inputs: tuple[Tensor]) -> tuple[Tensor, ...]:
        """Return the levels, finest first."""
        levels = super().forward(inputs)
        return tuple(norm(x) for norm, x in zip(self.norms, levels))
