import torch

from mmclip.models import ViLDMaskHead


def head():
    return ViLDMaskHead(
        in_channels=4,
        conv_out_channels=8,
        num_classes=3,
        class_agnostic=True,
        norm_cfg=dict(type='BN', eps=1e-4),
    ).eval()


def test_the_transposed_convolution_is_normalised_before_relu():
    mask_head, feats = head(), torch.randn(2, 4, 14, 14)
    deconv, norm = mask_head.upsample
    norm.running_mean += 0.1
    x = feats
    for conv in mask_head.convs:
        assert conv.conv.bias is not None
        x = conv(x)
    masks = mask_head(feats)
    assert masks.shape == (2, 1, 28, 28)
    torch.testing.assert_close(
        masks, mask_head.conv_logits(norm(deconv(x)).relu())
    )


def test_its_weights_are_drawn_for_relu():
    mask_head = head()
    mask_head.init_weights()
    deconv, norm = mask_head.upsample
    assert (norm.weight == 1).all()
    assert (deconv.bias == 0).all()
    expected = (2 / (deconv.weight.shape[0] * 4)) ** 0.5
    assert 0.7 < deconv.weight.std().item() / expected < 1.3
