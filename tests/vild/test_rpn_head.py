import torch

from mmclip.models import ViLDRPNHead


def head(levels=2):
    return ViLDRPNHead(
        in_channels=4,
        feat_channels=8,
        norm_cfg=dict(type='BN', eps=1e-4),
        anchor_generator=dict(
            type='AnchorGenerator',
            scales=[8],
            ratios=[1.0, 0.5, 2.0],
            strides=[4 * 2**i for i in range(levels)],
            center_offset=0.5,
        ),
        bbox_coder=dict(type='mmclip.ViLDBBoxCoder'),
        loss_bbox=dict(type='mmclip.MeanHuberLoss', delta=1 / 9),
    )


def test_levels_share_convolutions_but_not_norms():
    rpn = head().eval()
    rpn.rpn_norms[1][0].running_mean += 1
    level = torch.randn(2, 4, 6, 6)
    scores, deltas = rpn((level, level))
    assert scores[0].shape == (2, 3, 6, 6)
    assert deltas[0].shape == (2, 12, 6, 6)
    assert not torch.allclose(scores[0], scores[1])
    x = level
    for conv, norm in zip(rpn.rpn_convs, rpn.rpn_norms[1]):
        x = norm(conv(x)).relu()
    torch.testing.assert_close(scores[1], rpn.rpn_cls(x))
    assert len(list(rpn.rpn_convs.parameters())) == 4


def test_anchors_are_the_releases():
    centres = head().prior_generator.grid_priors(
        [(1, 2), (1, 1)], device='cpu'
    )
    wide = 32 * 2**0.5
    expected = torch.tensor(  # width over height 1, 2, 1/2 around (2, 2)
        [[32.0, 32], [wide, wide / 2], [wide / 2, wide]]
    )
    first = centres[0][:3]
    torch.testing.assert_close(first[:, 2:] - first[:, :2], expected)
    torch.testing.assert_close(
        (first[:, 2:] + first[:, :2]) / 2, torch.full((3, 2), 2.0)
    )
    assert centres[0][3:6, ::2].mean() == 6
