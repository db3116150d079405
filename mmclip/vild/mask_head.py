"""The mask head of the TF release: a bias and a norm in every layer."""

from mmcv.cnn import build_norm_layer
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmengine.model import kaiming_init
from torch import nn

from mmclip.registry import MODELS
from mmclip.vild.tf_layers import biased_conv


@MODELS.register_module()
class ViLDMaskHead(FCNMaskHead):
    """mmdet's mask head with a norm after the transposed convolution.

    Args:
        **kwargs: As for mmdet's FCNMaskHead; ``norm_cfg`` is needed.
    """

    def __init__(self, *args, norm_cfg: dict, **kwargs):
        super().__init__(*args, norm_cfg=norm_cfg, **kwargs)
        width = self.conv_out_channels
        widths = [self.in_channels] + [width] * self.num_convs
        for i in range(self.num_convs):
            self.convs[i] = biased_conv(*widths[i : i + 2], norm_cfg)
        # mmdet applies ReLU to what its transposed convolution returns
        self.upsample = nn.Sequential(
            self.upsample, build_norm_layer(norm_cfg, width)[1]
        )

    def init_weights(self) -> None:
        """Draw the transposed convolution as the others (He, fan out)."""
        super().init_weights()
        kaiming_init(self.upsample[0])
