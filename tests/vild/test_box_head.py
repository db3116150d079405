import pytest
import torch

from mmclip.models import ViLDConvFCBBoxHead

CONFIG = dict(
    in_channels=4,
    conv_out_channels=4,
    fc_out_channels=16,
    num_classes=3,
    reg_class_agnostic=True,
    norm_cfg=dict(type='BN', eps=1e-4),
)


def test_every_layer_has_a_bias_and_a_norm():
    head = ViLDConvFCBBoxHead(**CONFIG).eval()
    assert len(head.shared_convs) == 4
    assert len(head.shared_fcs) == 2
    for conv in head.shared_convs:
        assert conv.conv.bias is not None
        assert conv.bn.eps == 1e-4
    feats = torch.randn(5, 4, 7, 7)
    x = feats
    for conv in head.shared_convs:
        x = conv.bn(conv.conv(x)).relu()
    x = x.flatten(1)
    for fc, norm in head.shared_fcs:
        x = norm(fc(x)).relu()
    scores, boxes = head(feats)
    torch.testing.assert_close(boxes, head.fc_reg(x))
    torch.testing.assert_close(scores, head.fc_cls(x))


def test_the_weights_that_are_drawn_are_those_of_the_layers():
    head = ViLDConvFCBBoxHead(**CONFIG)
    head.init_weights()
    assert (head.shared_fcs[1][1].norm.weight == 1).all()
    assert head.fc_reg.weight.std() < 0.01
    limit = (6 / (16 + 16)) ** 0.5  # of Xavier's uniform distribution
    largest = head.shared_fcs[1][0].weight.abs().max().item()
    assert 0.9 * limit < largest <= limit


def test_a_head_without_norms_is_another_head():
    with pytest.raises(ValueError, match='no norm_cfg'):
        ViLDConvFCBBoxHead(**dict(CONFIG, norm_cfg=None))
