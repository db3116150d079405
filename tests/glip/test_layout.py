import pytest
import torch

from mmclip.glip.layout import convert, is_microsoft, our_name, reordered
from tests.glip.tiny import build, tiny_glip


@pytest.mark.parametrize(
    ('theirs', 'ours'),
    [
        (
            'module.backbone.body.patch_embed.proj.weight',
            'backbone.patch_embed.projection.weight',
        ),
        (
            'backbone.body.layers.2.blocks.5.mlp.fc1.bias',
            'backbone.stages.2.blocks.5.ffn.layers.0.0.bias',
        ),
        (
            'backbone.body.layers.0.blocks.1.mlp.fc2.weight',
            'backbone.stages.0.blocks.1.ffn.layers.1.weight',
        ),
        (
            'backbone.body.layers.3.blocks.0.attn.qkv.weight',
            'backbone.stages.3.blocks.0.attn.w_msa.qkv.weight',
        ),
        (
            'backbone.body.layers.1.downsample.norm.weight',
            'backbone.stages.1.downsample.norm.weight',
        ),
        ('backbone.body.norm3.bias', 'backbone.norm3.bias'),
        (
            'backbone.fpn.fpn_inner4.weight',
            'neck.lateral_convs.2.conv.weight',
        ),
        ('backbone.fpn.fpn_layer2.bias', 'neck.fpn_convs.0.conv.bias'),
        (
            'backbone.fpn.top_blocks.p7.weight',
            'neck.fpn_convs.4.conv.weight',
        ),
        (
            'module.language_backbone.body.model.encoder.layer.11.output.'
            'dense.weight',
            'language_model.language_backbone.body.model.encoder.layer.11.'
            'output.dense.weight',
        ),
        (
            'module.rpn.head.dyhead_tower.2.DyConv.0.conv.weight',
            'bbox_head.head.dyhead_tower.2.dyconvs.0.conv.weight',
        ),
        (
            'rpn.head.dyhead_tower.2.AttnConv.1.bias',
            'bbox_head.head.dyhead_tower.2.attnconv.1.bias',
        ),
        ('rpn.head.scales.4.scale', 'bbox_head.head.scales.4.scale'),
        ('rpn.head.cls_logits.weight', None),
        ('roi_heads.mask.weight', None),
    ],
)
def test_microsofts_names_have_a_place(theirs, ours):
    assert our_name(theirs) == ours


def test_patch_merging_reads_the_same_pixels():
    pixels = torch.arange(16.0).reshape(1, 1, 4, 4)
    weight = torch.tensor([[1.0, 10, 100, 1000]])
    parts = [pixels[..., y::2, x::2] for x, y in ((0, 0), (0, 1))]
    parts += [pixels[..., y::2, x::2] for x, y in ((1, 0), (1, 1))]
    wanted = sum(w * x for w, x in zip(weight[0], parts))
    ours = reordered('stages.0.downsample.reduction.weight', weight)
    unfolded = torch.nn.functional.unfold(pixels, 2, stride=2)[0]
    torch.testing.assert_close((ours @ unfolded).reshape(2, 2), wanted[0, 0])


def published(state):
    """Our tiny model's head and language in microsoft's names."""
    found = {}
    for name, value in state.items():
        if name.startswith('bbox_head.head.'):
            name = name.replace('bbox_head.head.', 'module.rpn.head.')
            name = name.replace('dyconvs', 'DyConv')
            name = name.replace('attnconv', 'AttnConv')
        elif name.startswith('language_model.'):
            name = name.replace('language_model.', 'module.')
        found[name] = value
    return found


def test_both_layouts_become_the_same_tensors():
    detector = build(tiny_glip())
    own = {
        k: v
        for k, v in detector.state_dict().items()
        if not k.startswith(('backbone', 'neck'))
    }
    theirs = published(own)
    theirs['module.rpn.head.cls_logits.weight'] = torch.zeros(80, 4)
    theirs['module.rpn.anchor_generator.cell_anchors.0'] = torch.zeros(1, 4)
    assert is_microsoft(theirs)
    assert not is_microsoft(own)
    for given, unused in ((theirs, 2), (own, 0)):
        state, report = convert(given, own)
        assert report.complete
        assert len(report.unused) == unused
        assert set(state) == set(own)
        assert all(torch.equal(state[k], own[k]) for k in own)


def test_what_does_not_fit_is_named():
    own = {'bbox_head.head.a': torch.zeros(2), 'neck.b': torch.zeros(3)}
    given = {
        'rpn.head.a': torch.zeros(4),
        'rpn.head.new': torch.zeros(1),
        'something.else': torch.zeros(1),
    }
    _, report = convert(given, own)
    assert not report.complete
    assert report.reshaped == ['rpn.head.a [4] -> bbox_head.head.a [2]']
    assert report.homeless == ['rpn.head.new -> bbox_head.head.new [1]']
    assert report.unknown == ['something.else [1]']
    assert report.absent == ['neck.b']
    assert "microsoft's layout: 0 tensors" in list(report.lines())[-1]
