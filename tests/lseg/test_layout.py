import pytest
import torch

from mmclip.lseg.layout import convert, network_state, our_name
from tests.lseg.tiny import tiny_lseg


def released(model, prefix='net.') -> dict:
    """Write a model's weights by the names of a release."""
    state = {}
    for key, value in model.state_dict().items():
        name = released_name(key)
        if name:
            state[prefix + name] = value
    return state


def released_name(key: str) -> str | None:
    """Invert ``our_name`` for the parts that a ViT has."""
    import re

    table = (
        (r'backbone\.trunk\.(.*)', r'pretrained.model.\1'),
        (
            r'neck\.reassemble\.(\d)\.readout\.0\.(.*)',
            r'pretrained.act_postprocess<\1>.0.project.0.\2',
        ),
        (
            r'neck\.reassemble\.(\d)\.project\.(.*)',
            r'pretrained.act_postprocess<\1>.3.\2',
        ),
        (
            r'neck\.reassemble\.(\d)\.resize\.(.*)',
            r'pretrained.act_postprocess<\1>.4.\2',
        ),
        (r'neck\.lateral\.(\d)\.(.*)', r'scratch.layer<\1>_rn.\2'),
        (
            r'neck\.fusion\.(\d)\.project\.conv\.(.*)',
            r'scratch.refinenet<\1>.out_conv.\2',
        ),
        (
            r'neck\.fusion\.(\d)\.res_conv_unit(\d)\.conv(\d)\.(conv|bn)'
            r'\.(.*)',
            r'scratch.refinenet<\1>.resConfUnit\2.\4\3.\5',
        ),
        (r'decode_head\.project\.(.*)', r'scratch.head1.\1'),
        (
            r'decode_head\.spatial_block\.conv\.(.*)',
            r'scratch.head_block.depthwise.depthwise.\1',
        ),
    )
    for pattern, theirs in table:
        match = re.fullmatch(pattern, key)
        if match:
            return re.sub(
                r'<(\d)>',
                lambda m: str(int(m[1]) + 1),
                match.expand(theirs),
            )
    return None


@pytest.fixture(scope='module')
def model():
    return tiny_lseg(head=dict(spatial_block=dict(kind='depthwise')))


@pytest.mark.parametrize('prefix', ['net.', '', 'module.net.'])
def test_every_tensor_of_a_release_finds_its_place(model, prefix):
    state = network_state(released(model, prefix))
    found, report = convert(state, model.state_dict())
    assert report.complete
    assert len(report.moved) == len(state) == len(found)
    assert all(torch.equal(found[k], model.state_dict()[k]) for k in found)


@pytest.mark.parametrize(
    ('theirs', 'ours'),
    [
        ('pretrained.layer1.0.weight', 'backbone.conv1.weight'),
        ('pretrained.layer1.1.running_var', 'backbone.bn1.running_var'),
        (
            'pretrained.layer1.4.2.bn3.weight',
            'backbone.layer1.2.bn3.weight',
        ),
        (
            'pretrained.layer3.0.downsample.0.weight',
            'backbone.layer3.0.downsample.0.weight',
        ),
        ('scratch.layer4_rn.weight', 'neck.lateral.3.weight'),
        ('scratch.other.weight', None),
    ],
)
def test_a_resnets_names_are_known_and_foreign_ones_are_not(theirs, ours):
    assert our_name(theirs) == ours


def test_each_fault_is_named_by_its_kind(model):
    state = network_state(released(model))
    state['scratch.extra.weight'] = torch.zeros(3)
    state['pretrained.model.norm.weight'] = torch.zeros(32)
    state['scratch.layer2_rn.weight'] = torch.zeros(2, 2, 3, 3)
    state['pretrained.layer2.0.conv1.weight'] = torch.zeros(1)
    del state['scratch.head1.bias']
    _, report = convert(state, model.state_dict())
    assert not report.complete
    assert report.absent == ['decode_head.project.bias']
    assert report.unknown == ['scratch.extra.weight [3]']
    assert report.unused == ['pretrained.model.norm.weight']
    assert report.homeless[0].startswith('pretrained.layer2.0.conv1.weight')
    assert report.reshaped == [
        'scratch.layer2_rn.weight [2, 2, 3, 3] -> neck.lateral.1.weight '
        '[8, 8, 3, 3]'
    ]
    assert '1 of ours missing' in list(report.lines())[-1]


def test_the_text_tower_is_kept_apart(model):
    state = {
        **released(model),
        'net.clip_pretrained.logit_scale': torch.ones([]),
        'loss.weight': torch.ones(1),
    }
    found = network_state(state)
    assert 'clip_pretrained.logit_scale' in found
    assert 'loss.weight' not in found
    assert convert(found, model.state_dict())[1].complete


def test_another_network_is_refused():
    with pytest.raises(ValueError, match='no checkpoint of LSeg'):
        network_state({'backbone.conv1.weight': torch.zeros(1)})
