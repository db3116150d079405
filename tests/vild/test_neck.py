import torch
import torch.nn.functional as F

from mmclip.models import ViLDFPN


def test_outputs_alone_are_normalised_and_p6_is_learnt():
    neck = ViLDFPN([2, 4], 8, 3, norm_cfg=dict(type='BN', eps=1e-4)).eval()
    for norm in neck.norms:
        norm.running_mean += torch.randn(8)
    fine, coarse = torch.randn(1, 2, 16, 16), torch.randn(1, 4, 8, 8)
    lateral = [layer.conv for layer in neck.lateral_convs]
    top = lateral[1](coarse)
    bottom = lateral[0](fine) + F.interpolate(top, scale_factor=2)
    p2, p3 = (layer.conv(x) for layer, x in zip(neck.fpn_convs, (bottom, top)))
    p6 = neck.fpn_convs[2].conv(p3)  # before the norm of its source
    for ours, expected, norm in zip(
        neck((fine, coarse)), (p2, p3, p6), neck.norms
    ):
        torch.testing.assert_close(ours, norm(expected))
    assert p6.shape[-1] == 4
