import pytest
import torch

from mmclip.glip.fusion import (
    BiAttentionFusion,
    SeparateBiAttentionFusion,
    TextToImageFusion,
    cut_to_words,
    flatten_levels,
    split_levels,
)

KINDS = [BiAttentionFusion, SeparateBiAttentionFusion, TextToImageFusion]


def fusion(kind, levels=3, **kwargs):
    torch.manual_seed(0)
    if kind is SeparateBiAttentionFusion:
        kwargs['num_levels'] = levels
    layer = kind(v_dim=8, l_dim=12, embed_dim=16, num_heads=2, **kwargs)
    return layer.eval()


def inputs(batch=2, levels=3, words=6):
    generator = torch.Generator().manual_seed(2)
    sizes = [(5, 7), (3, 4), (2, 2), (1, 1)][:levels]
    features = [
        torch.randn(batch, 8, *size, generator=generator) for size in sizes
    ]
    masks = torch.ones(batch, words, dtype=torch.bool)
    masks[0, 4:] = False
    return features, torch.randn(batch, words, 12, generator=generator), masks


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(('batch', 'levels'), [(1, 3), (2, 1), (2, 4)])
def test_shapes_stay_for_any_width_and_number_of_levels(kind, batch, levels):
    features, words, masks = inputs(batch, levels)
    fused, read = fusion(kind, levels)(features, words, masks)
    assert [x.shape for x in fused] == [x.shape for x in features]
    assert read.shape == words.shape


@pytest.mark.parametrize('kind', KINDS)
def test_padding_changes_neither_levels_nor_words(kind):
    features, words, masks = inputs()
    masks[:, 4:] = False
    layer = fusion(kind)
    with torch.no_grad():
        fused, read = layer(features, words, masks)
        noise = torch.where(masks[..., None], words, 1e3)
        others, other_words = layer(features, noise, masks)
        short, few = layer(features, words[:, :4], masks[:, :4])
    for a, b, c in zip(fused, others, short):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a, c)
    torch.testing.assert_close(read[:, :4], few)
    torch.testing.assert_close(other_words[:, :4], few)


def test_words_that_no_caption_has_are_cut_off():
    masks = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]])
    cut = cut_to_words(dict(hidden=torch.rand(2, 4, 5), masks=masks, name='x'))
    assert cut['hidden'].shape == (2, 3, 5)
    assert cut['masks'].shape == (2, 3)
    assert cut['name'] == 'x'


def test_what_is_added_comes_to_the_normalised_input():
    features, words, masks = inputs()
    layer = fusion(BiAttentionFusion, init_values=0.0)
    fused, read = layer(features, words, masks)
    flat = flatten_levels(features)
    wanted = split_levels(layer.layer_norm_v(flat), features)
    for a, b in zip(fused, wanted):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(read, layer.layer_norm_l(words))


def test_recomputed_activations_give_the_same_gradients():
    features, words, masks = inputs()
    grads = []
    for with_cp in (False, True):
        layer = fusion(BiAttentionFusion, with_cp=with_cp)
        fused, read = layer(features, words, masks)
        (sum((x**2).sum() for x in fused) + read.sum()).backward()
        grads.append(layer.attn.v_proj.weight.grad)
    torch.testing.assert_close(*grads)


def test_the_published_loop_normalises_words_once_more_a_level():
    features, words, masks = inputs()
    layers = [
        fusion(TextToImageFusion, official_quirks=quirk)
        for quirk in (True, False)
    ]
    torch.nn.init.normal_(layers[0].layer_norm_k_1.bias)
    layers[1].load_state_dict(layers[0].state_dict())
    (first, second, _), _ = layers[0](features, words, masks)
    (same, other, _), _ = layers[1](features, words, masks)
    torch.testing.assert_close(first, same)
    assert not torch.allclose(second, other)


def test_separate_fusion_knows_how_many_levels_it_joins():
    features, words, masks = inputs(levels=2)
    with pytest.raises(ValueError, match='got 2 levels but num_levels=3'):
        fusion(SeparateBiAttentionFusion, 3)(features, words, masks)


def test_it_is_built_from_a_config():
    from mmdet.registry import MODELS

    layer = MODELS.build(
        dict(
            type='mmclip.BiAttentionFusion',
            v_dim=8,
            l_dim=12,
            embed_dim=16,
            num_heads=2,
            drop_path=0.1,
        )
    )
    features, words, masks = inputs()
    fused, _ = layer.train()(features, words, masks)
    assert fused[0].shape == features[0].shape
