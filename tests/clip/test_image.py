import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmclip.clip.image import CLIP_MEAN, CLIP_STD, CLIPImageEncoder
from mmclip.clip.towers import outputs_of
from mmclip.registry import MODELS
from tests.clip.conftest import make_config

KINDS = ['vit', 'resnet', 'timm_resnet', 'timm_convnext', 'timm_vit']
AVERAGED = ['timm_resnet', 'timm_convnext', 'timm_vit']
SIZE = dict(
    vit=32, resnet=64, timm_resnet=160, timm_convnext=160, timm_vit=160
)


def images(kind, count=2, more=(0, 0)):
    generator = torch.Generator().manual_seed(1)
    size = SIZE[kind]
    return torch.randn(
        count, 3, size + more[0], size + more[1], generator=generator
    )


def embedded(visual, x):
    """Return the tokens that enter the first block."""
    with outputs_of([visual.ln_pre], stop=True) as tokens:
        visual(x)
    return tokens[0]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.mark.parametrize('count', [1, 2])
def test_pooled_equals_open_clip_at_the_native_size(tiny_clip, kind, count):
    clip = tiny_clip(kind)
    x = images(kind, count)
    expected = clip.encode_image(x, normalize=True)
    encoder = CLIPImageEncoder(clip)
    torch.testing.assert_close(encoder.pooled(x), expected, atol=1e-5, rtol=0)
    raw = encoder.pooled(x, normalize=False)
    torch.testing.assert_close(raw, clip.encode_image(x), atol=1e-5, rtol=1e-5)


def test_layers_have_the_announced_channels_and_strides(tiny_clip, kind):
    encoder = CLIPImageEncoder(tiny_clip(kind))
    layers = encoder(images(kind))
    assert len(layers) == len(encoder.out_channels) == len(encoder.strides)
    for layer, channels, stride in zip(
        layers, encoder.out_channels, encoder.strides
    ):
        side = SIZE[kind] // stride
        assert layer.shape == (2, channels, side, side)


def test_any_size_and_shape_is_taken(tiny_clip, kind):
    encoder = CLIPImageEncoder(tiny_clip(kind))
    x = images(kind, 1, more=(27, 70))
    last = encoder(x)[-1]
    dense = encoder.dense(x)
    assert dense.shape[2:] == last.shape[2:]
    assert dense.shape[3] > dense.shape[2]
    assert encoder.pooled(x).shape == (1, 24)
    assert dense.isfinite().all()


def test_dense_and_pooled_leave_with_length_one(tiny_clip, kind):
    encoder = CLIPImageEncoder(tiny_clip(kind))
    x = images(kind)
    for embeddings in (encoder.pooled(x), encoder.dense(x)):
        length = embeddings.norm(dim=1)
        torch.testing.assert_close(length, torch.ones_like(length))


@pytest.mark.parametrize('kind', AVERAGED)
@pytest.mark.parametrize('more', [(0, 0), (32, 64)])
def test_the_mean_of_dense_is_pooled_behind_an_average(tiny_clip, kind, more):
    encoder = CLIPImageEncoder(tiny_clip(kind))
    x = images(kind, more=more)
    mean = encoder.dense(x, normalize=False).mean(dim=(2, 3))
    pooled = encoder.pooled(x, normalize=False)
    torch.testing.assert_close(mean, pooled, atol=1e-5, rtol=1e-4)


def test_a_vit_is_dense_by_the_value_path_of_its_last_block(tiny_clip):
    clip = tiny_clip()
    visual, last = clip.visual, clip.visual.transformer.resblocks[-1]
    x = images('vit')
    tokens = embedded(visual, x)
    for block in visual.transformer.resblocks[:-1]:
        tokens = block(tokens)
    weight, bias = last.attn.in_proj_weight[96:], last.attn.in_proj_bias[96:]
    values = F.linear(last.ln_1(tokens), weight, bias)
    tokens = tokens + last.attn.out_proj(values)
    tokens = tokens + last.mlp(last.ln_2(tokens))
    expected = visual.ln_post(tokens)[:, 1:] @ visual.proj  # (B, 16, D)
    dense = CLIPImageEncoder(clip).dense(x, normalize=False)
    torch.testing.assert_close(
        dense.flatten(2).mT, expected, atol=1e-5, rtol=1e-5
    )


def test_a_resnet_pools_its_dense_values_by_its_attention(tiny_clip):
    clip = tiny_clip('resnet')
    pool = clip.visual.attnpool
    pool.num_heads = 1  # so that one weight goes with each position
    encoder = CLIPImageEncoder(clip)
    x = images('resnet')
    (features,) = encoder.tower.run(x)
    values = pool.c_proj(pool.v_proj(encoder.tower.tokens(features)))
    (attention,) = encoder.attention(x)
    pooled = attention[:, 0, 0, None] @ values  # (B, 1, D)
    torch.testing.assert_close(
        pooled[:, 0], clip.encode_image(x), atol=1e-5, rtol=1e-5
    )
    dense = encoder.dense(x, normalize=False)
    torch.testing.assert_close(dense.flatten(2).mT, values[:, 1:])


@pytest.mark.parametrize('indices', [None, (0, -1), (1,)])
def test_one_pass_gives_layers_and_the_map_of_regions(
    tiny_clip, kind, indices
):
    encoder = CLIPImageEncoder(tiny_clip(kind), out_indices=indices)
    x = images(kind, more=(32, 0))
    layers, regions = encoder.with_regions(x)
    for ours, theirs in zip(layers, encoder(x), strict=True):
        torch.testing.assert_close(ours, theirs)
    stride = encoder.region_stride
    assert regions.shape[2] == -(-x.shape[2] // stride)


def test_the_whole_image_as_a_region_is_its_pooled_embedding(tiny_clip, kind):
    encoder = CLIPImageEncoder(tiny_clip(kind))
    x = images(kind, more=(64, 32))
    _, regions = encoder.with_regions(x)
    whole = encoder.embed_regions(regions)
    expected = encoder.pooled(x)
    if kind == 'vit':  # its class token attends; regions have the values
        expected = F.normalize(
            encoder.dense(x, normalize=False).mean(dim=(2, 3)), dim=1
        )
    torch.testing.assert_close(whole, expected, atol=1e-5, rtol=1e-4)
    length = encoder.embed_regions(regions[..., 1:3, 1:2]).norm(dim=1)
    torch.testing.assert_close(length, torch.ones(2))


def test_a_vit_gives_the_attention_of_every_block(tiny_clip):
    clip = tiny_clip()
    x = images('vit')
    maps = CLIPImageEncoder(clip).attention(x)
    assert [tuple(m.shape) for m in maps] == [(2, 3, 17, 17)] * 3
    first = clip.visual.transformer.resblocks[0]
    tokens = first.ln_1(embedded(clip.visual, x))
    _, expected = first.attn(tokens, tokens, tokens)
    torch.testing.assert_close(maps[0].mean(dim=1), expected)
    after = CLIPImageEncoder(clip).pooled(x)  # no hook stays behind
    torch.testing.assert_close(after, clip.encode_image(x, normalize=True))


@pytest.mark.parametrize('kind', AVERAGED)
def test_a_timm_tower_says_that_it_has_no_attention(tiny_clip, kind):
    with pytest.raises(ValueError, match="gives no attention.*'ViT-B-32'"):
        CLIPImageEncoder(tiny_clip(kind)).attention(images(kind))


def test_towers_without_readable_parts_say_so(tiny_clip, tiny_config):
    vision = tiny_config()['vision_cfg']
    scaled = tiny_clip(vision_cfg={**vision, 'scale_heads': True})
    encoder = CLIPImageEncoder(scaled)
    with pytest.raises(ValueError, match='attention of Attention cannot'):
        encoder.attention(images('vit'))
    assert encoder.dense(images('vit')).shape == (2, 24, 4, 4)
    queries = dict(attentional_pool=True, attn_pooler_heads=2)
    coca = tiny_clip(vision_cfg={**vision, **queries})
    with pytest.raises(ValueError, match='learned queries'):
        CLIPImageEncoder(coca).dense(images('vit'))
    with pytest.raises(ValueError, match='learned queries'):
        CLIPImageEncoder(coca).with_regions(images('vit'))
    with pytest.raises(ValueError, match='Linear is no image tower'):
        CLIPImageEncoder(nn.Linear(2, 2))


def test_another_size_equals_open_clips_own_resizing(tiny_clip, tiny_config):
    from mmclip.clip.checkpoint import fit_state
    from mmclip.clip.weights import load_clip

    config = tiny_config()
    config['vision_cfg'] = {**config['vision_cfg'], 'image_size': (48, 64)}
    wide, _ = load_clip(config)
    fit_state(wide, tiny_clip().state_dict(), 'x', 'y')
    x = images('vit', more=(16, 32))
    ours = CLIPImageEncoder(tiny_clip()).pooled(x)
    torch.testing.assert_close(
        ours, wide.encode_image(x, normalize=True), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ('indices', 'channels'), [((0, 2), [48, 48]), ((-1, 1), [48, 48])]
)
def test_chosen_layers_are_block_outputs(tiny_clip, indices, channels):
    clip = tiny_clip()
    encoder = CLIPImageEncoder(clip, out_indices=indices)
    x = images('vit')
    tokens, outputs = embedded(clip.visual, x), []
    for block in clip.visual.transformer.resblocks:
        tokens = block(tokens)
        outputs.append(tokens[:, 1:].mT.unflatten(2, (4, 4)))
    expected = [outputs[k] for k in sorted(k % 3 for k in indices)]
    assert encoder.out_channels == channels
    for ours, theirs in zip(encoder(x), expected):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('indices', [(), (3,), (-4,)])
def test_a_layer_that_is_not_there_is_refused(tiny_clip, indices):
    with pytest.raises(ValueError, match='layers 0 to 2'):
        CLIPImageEncoder(tiny_clip(), out_indices=indices)


def test_frozen_keeps_everything_still_but_reaches_the_image(tiny_clip, kind):
    encoder = CLIPImageEncoder(tiny_clip(kind)).train()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    x = images(kind).requires_grad_()
    encoder(x)[-1].sum().backward()
    assert x.grad.abs().sum() > 0
    assert not any(m.training for m in encoder.modules())
    assert all(p.grad is None for p in encoder.parameters())
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_trainable_moves_batch_norms_and_gets_gradients(tiny_clip):
    encoder = CLIPImageEncoder(tiny_clip('resnet'), frozen=False).train()
    before = encoder.tower.visual.bn1.running_mean.clone()
    encoder.pooled(images('resnet')).sum().backward()
    assert not torch.equal(encoder.tower.visual.bn1.running_mean, before)
    assert encoder.tower.visual.conv1.weight.grad is not None


def test_gradients_pass_through_resized_positions(tiny_clip):
    encoder = CLIPImageEncoder(tiny_clip(), frozen=False)
    encoder.dense(images('vit', more=(8, 0))).sum().backward()
    grad = encoder.tower.visual.positional_embedding.grad
    assert grad.abs().sum() > 0


def test_it_is_a_backbone_from_a_config(tiny_config):
    encoder = MODELS.build(
        dict(
            type='mmclip.CLIPImageEncoder',
            model=tiny_config('resnet'),
            out_indices=(1, 3),
        )
    )
    layers = encoder(images('resnet', 1))
    assert [layer.shape[1] for layer in layers] == encoder.out_channels
    assert encoder.mean == CLIP_MEAN
    grey = torch.tensor(CLIP_MEAN)[:, None, None].expand(1, 3, 4, 4)
    assert encoder.normalise(grey).abs().max() < 1e-6
    one = encoder.normalise(torch.ones(1, 3, 1, 1)).flatten()
    expected = [(1 - m) / s for m, s in zip(CLIP_MEAN, CLIP_STD)]
    torch.testing.assert_close(one, torch.tensor(expected))


def test_a_training_reads_the_weights_that_init_cfg_names(tmp_path, tiny_clip):
    from safetensors.torch import save_file

    clip = tiny_clip('resnet')
    path = tmp_path / 'clip.safetensors'
    save_file({k: v.contiguous() for k, v in clip.state_dict().items()}, path)
    init = dict(type='Pretrained', checkpoint=f'mmclip://RN50/{path}')
    torch.manual_seed(5)
    encoder = CLIPImageEncoder(make_config('resnet'), init_cfg=init)
    x = images('resnet')
    expected = clip.encode_image(x, normalize=True)
    assert not torch.allclose(encoder.pooled(x), expected, atol=1e-3)
    encoder.init_weights()
    torch.testing.assert_close(encoder.pooled(x), expected, atol=1e-5, rtol=0)
    other = CLIPImageEncoder(make_config('vit'), init_cfg=init)
    with pytest.raises(ValueError, match='does not hold the image tower'):
        other.init_weights()


def test_a_half_precision_tower_keeps_its_dtype(tiny_clip):
    encoder = CLIPImageEncoder(tiny_clip()).bfloat16()
    x = images('vit', more=(8, 8)).bfloat16()
    assert encoder.pooled(x).dtype == torch.bfloat16
    assert encoder.dense(x).dtype == torch.bfloat16


def test_a_vit_gives_each_layers_class_token_where_asked(tiny_clip):
    clip, image = tiny_clip('vit'), torch.randn(2, 3, 32, 48)
    plain = CLIPImageEncoder(clip, out_indices=(0, 2))(image)
    pairs = CLIPImageEncoder(clip, out_indices=(0, 2), out_class_token=True)(
        image
    )
    for alone, (places, token) in zip(plain, pairs):
        assert torch.equal(alone, places)
        assert token.shape == (2, 48)


def test_a_resnet_has_no_class_token(tiny_clip):
    with pytest.raises(ValueError, match='no class token'):
        CLIPImageEncoder(tiny_clip('resnet'), out_class_token=True)
