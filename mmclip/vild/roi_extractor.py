"""RoIAlign as in the TF release: one sample a bin, pixels at their corners.

R regions, C channels.
"""

from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from mmclip.registry import MODELS


class CornerRoIAlign(RoIAlign):
    """RoIAlign where pixel i covers the point i, not i + 0.5.

    mmcv offers the same with ``aligned=False``, but makes small regions at
    least one pixel of the level wide.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, aligned=True, **kwargs)

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        """Pool ``rois`` (R, 5) from ``features`` (B, C, h, w)."""
        half = rois.new_zeros(5)
        half[1:] = 0.5 / self.spatial_scale  # undone by aligned=True
        return super().forward(features, rois + half)


@MODELS.register_module()
class ViLDRoIExtractor(SingleRoIExtractor):
    """mmdet's extractor with the sampling of the TF release.

    The release also assigns large regions to P6: give five strides. Source:
    tensorflow/tpu detection, spatial_transform_ops.py.

    Args:
        output_size: Bins along a side.
        out_channels: C.
        featmap_strides: Of the levels used.
        finest_scale: As in mmdet.
    """

    def __init__(
        self,
        output_size: int,
        out_channels: int,
        featmap_strides: list[int],
        finest_scale: int = 56,
        init_cfg: dict | None = None,
    ):
        super().__init__(
            roi_layer=dict(output_size=output_size, sampling_ratio=1),
            out_channels=out_channels,
            featmap_strides=featmap_strides,
            finest_scale=finest_scale,
            init_cfg=init_cfg,
        )

    def build_roi_layers(
        self, layer_cfg: dict, featmap_strides: list[int]
    ) -> nn.ModuleList:
        """Return one layer a level."""
        return nn.ModuleList(
            CornerRoIAlign(spatial_scale=1 / stride, **layer_cfg)
            for stride in featmap_strides
        )
