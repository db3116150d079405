import pytest
import torch
from torch import nn

from mmclip.clipasso.features import CLIPFeatureExtractor
from mmclip.clipasso.folding import fold_batch_norms
from tests.clip.conftest import make_config


def randomised(module):
    """Norms that do something, in eval mode."""
    torch.manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for value in (norm.weight, norm.bias, norm.running_mean):
                nn.init.normal_(value.data, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    return module.eval()


def test_a_folded_network_computes_the_same(tiny_clip):
    network = randomised(tiny_clip('resnet').visual)
    x = torch.rand(2, 3, 64, 64)
    wanted = network(x)
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert fold_batch_norms(network) == norms > 10
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    torch.testing.assert_close(network(x), wanted, atol=1e-5, rtol=1e-4)


def test_neighbours_of_a_sequence_are_folded_and_others_are_left():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4)
    )
    x = torch.rand(1, 3, 5, 5)
    wanted = randomised(network)(x)
    assert fold_batch_norms(network) == 1
    assert isinstance(network[3], nn.BatchNorm2d)
    torch.testing.assert_close(network(x), wanted)


def test_a_network_in_training_is_refused():
    with pytest.raises(ValueError, match='eval'):
        fold_batch_norms(nn.Sequential(nn.Conv2d(1, 1, 1)).train())


def test_an_extractor_folds_what_it_built_itself_and_sees_the_same():
    config = make_config('resnet')
    looks = []
    for fold in (True, False):
        torch.manual_seed(1)
        looks.append(CLIPFeatureExtractor(config, fold=fold))
    looks[0].load_state_dict(looks[1].state_dict())
    x = torch.rand(2, 3, 64, 64)
    ours, wanted = (look(x) for look in looks)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in looks[0].modules())
    torch.testing.assert_close(ours.pooled, wanted.pooled, atol=1e-5, rtol=0)
    for name, layer in wanted.layers.items():
        torch.testing.assert_close(
            ours.layers[name], layer, atol=1e-4, rtol=1e-4
        )


def test_half_precision_is_close_and_answers_in_single(tiny_clip):
    single, half = (
        CLIPFeatureExtractor(tiny_clip('resnet'), dtype=dtype)
        for dtype in ('float32', 'bfloat16')
    )
    x = torch.rand(2, 3, 64, 64)
    ours, wanted = half(x), single(x)
    assert ours.pooled.dtype == torch.float32
    far = (ours.layers['layer3'] - wanted.layers['layer3']).norm()
    assert 0 < far < 0.05 * wanted.layers['layer3'].norm()
    with pytest.raises(ValueError, match="dtype is 'float16'"):
        CLIPFeatureExtractor(tiny_clip('resnet'), dtype='float16')
