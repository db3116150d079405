import numpy as np
import pytest

from mmclip.groupvit.layouts import (
    layout_of,
    our_name,
    place_of,
    settings_of,
)
from tests.groupvit.tiny import TOWERS, pretrainer

# what the published checkpoints call a few entries on either side
KNOWN = {
    'img_encoder.pos_embed': ['vision_model.embeddings.position_embeddings'],
    'img_encoder.layers.0.blocks.5.attn.qkv.bias': [
        f'vision_model.encoder.stages.0.layers.5.self_attn.{x}_proj.bias'
        for x in 'qkv'
    ],
    'img_encoder.layers.1.downsample.pre_assign_attn.attn.proj.weight': [
        'vision_model.encoder.stages.1.downsample.pre_assign_attn.attn.'
        'out_proj.weight'
    ],
    'img_encoder.layers.1.downsample.assign.proj.weight': [
        'vision_model.encoder.stages.1.downsample.assign.proj.weight'
    ],
    'img_encoder.layers.1.downsample.pre_assign_attn.norm2.bias': [
        'vision_model.encoder.stages.1.downsample.pre_assign_attn.norm2.bias'
    ],
    'text_encoder.transformer.resblocks.3.attn.in_proj_weight': [
        f'text_model.encoder.layers.3.self_attn.{x}_proj.weight' for x in 'qkv'
    ],
    'text_encoder.transformer.resblocks.3.mlp.c_proj.bias': [
        'text_model.encoder.layers.3.mlp.fc2.bias'
    ],
    'img_projector.linear_hidden.1.running_var': [
        'visual_projection.1.running_var'
    ],
    'text_projector.linear_out.weight': ['text_projection.3.weight'],
    'logit_scale': ['logit_scale'],
}


@pytest.mark.parametrize('key', KNOWN)
def test_names_are_those_of_both_sides(key):
    place = place_of(key)
    assert list(place.theirs) == KNOWN[key]
    assert {our_name(name) for name in place.theirs} == {key}


def test_every_entry_has_one_place_and_comes_back():
    state = pretrainer().state_dict()
    places = {key: place_of(key) for key in state}
    assert [k for k, p in places.items() if p is None] == [
        'multi_label_logit_scale'
    ]
    places.pop('multi_label_logit_scale')
    theirs = [name for place in places.values() for name in place.theirs]
    assert len(set(theirs)) == len(theirs)
    for key, place in places.items():
        array = state[key].numpy()
        back = place.join(place.split(array))
        assert np.array_equal(back, array)
        assert back.shape == array.shape
        assert {our_name(name) for name in place.theirs} == {key}


def test_sizes_are_read_off_the_shapes():
    shapes = {k: tuple(v.shape) for k, v in pretrainer().state_dict().items()}
    found = settings_of(shapes)
    expected = {**TOWERS['img_encoder'], 'in_channels': 3, 'mlp_ratio': 4.0}
    expected |= dict(num_heads=1, num_output_groups=[6, 3, 0])
    image = found.pop('img_encoder')
    assert {k: list(v) if isinstance(v, tuple) else v
            for k, v in expected.items()} == image  # fmt: skip
    assert found == dict(
        text_encoder={**TOWERS['text_encoder'], 'num_heads': 1},
        hidden_channels=20,
        out_channels=12,
        multi_label=True,
    )


def test_other_checkpoints_are_refused():
    with pytest.raises(ValueError, match='no GroupViT.*backbone.conv1'):
        layout_of(['backbone.conv1.weight'])
    with pytest.raises(ValueError, match='cut short'):
        settings_of({'img_encoder.layers.0.group_token': (1, 6, 32)})
