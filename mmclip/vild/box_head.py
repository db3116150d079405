"""The box head of the TF release: a bias and a norm in every layer."""

from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from torch import nn

from mmclip.registry import MODELS
from mmclip.vild.tf_layers import VectorNorm, biased_conv


@MODELS.register_module()
class ViLDConvFCBBoxHead(ConvFCBBoxHead):
    """mmdet's convolutional box head with norms on the linear layers too.

    Each of the shared convolutions and linear layers has a bias, then
    ``norm_cfg`` and ReLU. Source: ViLDFastrcnnHead of the TF release (4
    convolutions, 2 linear layers).

    Args:
        num_shared_convs: As in mmdet.
        num_shared_fcs: As in mmdet.
        **kwargs: As for mmdet's ConvFCBBoxHead; ``norm_cfg`` is needed.

    Raises:
        ValueError: There is no ``norm_cfg``.
    """

    def __init__(
        self,
        *args,
        num_shared_convs: int = 4,
        num_shared_fcs: int = 2,
        init_cfg: dict | list | None = None,
        **kwargs,
    ):
        if kwargs.get('norm_cfg') is None:
            raise ValueError(
                'ViLDConvFCBBoxHead got no norm_cfg: give one, such as dict('
                "type='SyncBN', eps=1e-4, momentum=0.003), or take "
                'mmdet.Shared4Conv1FCBBoxHead'
            )
        super().__init__(
            *args,
            num_shared_convs=num_shared_convs,
            num_shared_fcs=num_shared_fcs,
            init_cfg=init_cfg,
            **kwargs,
        )
        if init_cfg is None:  # mmdet's own would draw the gains of norms
            xavier = dict(type='Xavier', distribution='uniform')
            self.init_cfg = [
                dict(xavier, layer='Linear'),
                *self.init_cfg[:-1],
            ]

    def _add_conv_fc_branch(
        self, num_branch_convs, num_branch_fcs, in_channels, is_shared=False
    ):
        _, fcs, width = super()._add_conv_fc_branch(
            num_branch_convs, num_branch_fcs, in_channels, is_shared
        )
        widths = [in_channels] + [self.conv_out_channels] * num_branch_convs
        convs = nn.ModuleList(
            biased_conv(i, o, self.norm_cfg)
            for i, o in zip(widths, widths[1:])
        )
        # mmdet applies ReLU to what each of the linear layers returns
        normed = nn.ModuleList(
            nn.Sequential(fc, VectorNorm(self.norm_cfg, fc.out_features))
            for fc in fcs
        )
        return convs, normed, width
