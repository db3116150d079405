"""The RPN of the TF release: levels share convolutions but no norms."""

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmdet.models.dense_heads import RPNHead
from mmdet.models.utils import multi_apply
from torch import Tensor, nn

from mmclip.registry import MODELS


@MODELS.register_module()
class ViLDRPNHead(RPNHead):
    """mmdet's RPN with one norm for each level and convolution.

    Source: tensorflow/tpu detection, heads.py: 2 convolutions with bias,
    each followed by the norm of the level and ReLU.

    Args:
        norm_cfg: Of the norms.
        num_convs: Convolutions before the two predictors.
        **kwargs: As for mmdet's RPNHead.
    """

    def __init__(self, *args, norm_cfg: dict, num_convs: int = 2, **kwargs):
        self.norm_cfg = norm_cfg
        super().__init__(*args, num_convs=num_convs, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        del self.rpn_conv
        width = self.feat_channels
        widths = [self.in_channels] + [width] * self.num_convs
        self.rpn_convs = nn.ModuleList(
            nn.Conv2d(i, o, 3, padding=1) for i, o in zip(widths, widths[1:])
        )
        self.rpn_norms = nn.ModuleList(
            nn.ModuleList(
                build_norm_layer(self.norm_cfg, width)[1]
                for _ in self.rpn_convs
            )
            for _ in self.prior_generator.strides
        )

    def forward(self, x: tuple[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return objectness and deltas of each level."""
        return multi_apply(self.forward_single, x, self.rpn_norms)

    def forward_single(
        self, x: Tensor, norms: nn.ModuleList
    ) -> tuple[Tensor, Tensor]:
        """Return objectness (B, A, h, w) and deltas (B, 4 A, h, w)."""
        for conv, norm in zip(self.rpn_convs, norms):
            x = F.relu(norm(conv(x)))
        return self.rpn_cls(x), self.rpn_reg(x)
