import pytest
import torch
from mmseg.models.decode_heads.dpt_head import (
    FeatureFusionBlock,
    ReassembleBlocks,
)

from mmclip.lseg.neck import DPTNeck, FusionBlock, Reassemble

FACTORS = [4, 2, 1, 0.5]


def layers(batch=1, height=4, width=6, channels=8):
    torch.manual_seed(0)
    return [
        (torch.randn(batch, channels, height, width), torch.randn(batch, 8))
        for _ in FACTORS
    ]


@pytest.mark.parametrize('batch', [1, 2])
@pytest.mark.parametrize('readout', ['ignore', 'add', 'project'])
def test_tokens_of_stride_16_become_one_map_of_stride_2(batch, readout):
    neck = DPTNeck(
        [8] * 4,
        4,
        reassemble=dict(
            out_channels=[4, 8, 8, 8], factors=FACTORS, readout=readout
        ),
    )
    assert neck.eval()(layers(batch)).shape == (batch, 4, 32, 48)


@pytest.mark.parametrize('readout', ['ignore', 'add', 'project'])
def test_reassembling_is_what_mmseg_computes(readout):
    theirs = ReassembleBlocks(8, [4, 8, 8, 8], readout)
    wanted = theirs([list(pair) for pair in layers()])
    for k, (factor, pair) in enumerate(zip(FACTORS, layers())):
        ours = Reassemble(8, [4, 8, 8, 8][k], factor, readout)
        ours.project.load_state_dict(theirs.projects[k].conv.state_dict())
        ours.resize.load_state_dict(theirs.resize_layers[k].state_dict())
        if readout == 'project':
            ours.readout.load_state_dict(
                theirs.readout_projects[k].state_dict()
            )
        torch.testing.assert_close(ours(*pair), wanted[k])


def test_fusing_is_what_mmseg_computes():
    torch.manual_seed(0)
    options = 4, dict(type='ReLU'), dict(type='BN')
    theirs, ours = FeatureFusionBlock(*options), FusionBlock(*options)
    ours.load_state_dict(theirs.state_dict())
    x, skip = torch.randn(2, 2, 4, 3, 5)
    torch.testing.assert_close(
        ours(x.clone(), skip.clone()), theirs(x.clone(), skip.clone())
    )


def test_a_pyramid_is_fused_as_it_is():
    neck = DPTNeck([4, 8, 16, 32], 4).eval()
    pyramid = [torch.randn(1, 4 << k, 16 >> k, 24 >> k) for k in range(4)]
    assert neck(pyramid).shape == (1, 4, 32, 48)
    assert all('reassemble' not in key for key in neck.state_dict())


def test_every_parameter_has_a_gradient():
    neck = DPTNeck(
        [8] * 4,
        4,
        reassemble=dict(out_channels=[4, 8, 8, 8], factors=FACTORS),
    )
    neck(layers(2)).square().mean().backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None] == []


def test_larger_patches_take_larger_factors():
    neck = DPTNeck(
        [8] * 4,
        4,
        reassemble=dict(out_channels=[4, 8, 8, 8], factors=[8, 4, 2, 1]),
    )
    assert neck.eval()(layers(1, 2, 2)).shape == (1, 4, 32, 32)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(readout='sum'), "readout='sum'"),
        (dict(factors=[4, 2, 1]), 'an entry for each layer'),
        (dict(factors=[4, 2, 1, 0.3]), 'factor=0.3'),
    ],
)
def test_a_wrong_reassembling_is_refused(change, message):
    wrong = dict(out_channels=[4, 8, 8, 8], factors=FACTORS) | change
    with pytest.raises(ValueError, match=message):
        DPTNeck([8] * 4, 4, reassemble=wrong)


def test_a_read_out_without_class_token_is_refused():
    with pytest.raises(ValueError, match='needs a class token'):
        Reassemble(8, 4, 1, 'add')(torch.randn(1, 8, 2, 2), None)


def test_another_number_of_layers_is_refused():
    with pytest.raises(ValueError, match='made for 4 layers'):
        DPTNeck([4, 8, 16, 32], 4)([torch.randn(1, 4, 8, 8)])


def test_levels_of_odd_sides_are_refused():
    neck = DPTNeck([4, 4], 4).eval()
    with pytest.raises(ValueError, match='cannot be added'):
        neck([torch.randn(1, 4, 5, 5), torch.randn(1, 4, 3, 3)])
