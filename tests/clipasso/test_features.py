import pytest
import torch

from mmclip.clipasso.features import CLIPFeatureExtractor

SIZE = dict(vit=32, resnet=64, timm_resnet=160, timm_vit=160)
LAYERS = dict(
    vit=['block2', 'block0'],
    resnet=['stem', 'layer3'],
    timm_resnet=['layer1'],
    timm_vit=['layer1'],
)


def images(kind, count=2):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, SIZE[kind], SIZE[kind], generator=generator)


@pytest.mark.parametrize('kind', SIZE)
@pytest.mark.parametrize('count', [1, 2])
def test_any_tower_gives_layers_and_embedding(tiny_clip, kind, count):
    clip = tiny_clip(kind)
    look = CLIPFeatureExtractor(clip, layers=LAYERS[kind])
    x = images(kind, count)
    seen = look(x)
    assert set(seen.layers) == set(LAYERS[kind])
    assert all(len(layer) == count for layer in seen.layers.values())
    wanted = clip.encode_image(look.encoder.normalise(x))
    torch.testing.assert_close(seen.pooled, wanted, atol=1e-5, rtol=1e-4)


def test_layers_of_a_resnet_are_those_of_the_encoder(tiny_clip):
    clip = tiny_clip('resnet')
    look = CLIPFeatureExtractor(clip, layers=['layer2', 'layer3'])
    x = images('resnet')
    maps = look.encoder(look.encoder.normalise(x))
    seen = look(x).layers
    torch.testing.assert_close(seen['layer2'], maps[1])
    torch.testing.assert_close(seen['layer3'], maps[2])


def test_the_pass_ends_behind_the_last_layer_asked_for(tiny_clip):
    clip = tiny_clip('resnet')
    look = CLIPFeatureExtractor(clip, layers=['layer2'], pooled=False)
    ran = []
    clip.visual.layer3.register_forward_hook(lambda *_: ran.append(1))
    seen = look(images('resnet'))
    assert seen.pooled is None
    assert not ran


def test_gradients_reach_the_picture_and_no_weight(tiny_clip):
    look = CLIPFeatureExtractor(tiny_clip('vit'), layers=['block1'])
    x = images('vit').requires_grad_()
    seen = look(x)
    (seen.layers['block1'].sum() + seen.pooled.sum()).backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in look.parameters())
    target = look.look_at_target(x)
    assert not target.pooled.requires_grad


def test_an_unknown_layer_is_answered_with_the_known_ones(tiny_clip):
    with pytest.raises(ValueError, match="no layer 'layer2': it has block0"):
        CLIPFeatureExtractor(tiny_clip('vit'))
    with pytest.raises(ValueError, match='nothing to look at'):
        CLIPFeatureExtractor(tiny_clip('vit'), layers=[], pooled=False)


def test_rows_can_be_taken(tiny_clip):
    look = CLIPFeatureExtractor(tiny_clip('vit'), layers=['block1'])
    seen = look(images('vit'))
    one = seen.rows(slice(1, 2))
    assert one.pooled.equal(seen.pooled[1:])
    assert one.layers['block1'].equal(seen.layers['block1'][1:])


def test_looking_leaves_the_layers_of_the_encoder_as_they_are(tiny_clip):
    look = CLIPFeatureExtractor(tiny_clip('timm_resnet'), layers=['layer1'])
    before = [m.shape for m in look.encoder(images('timm_resnet'))]
    look(images('timm_resnet'))
    assert [m.shape for m in look.encoder(images('timm_resnet'))] == before
