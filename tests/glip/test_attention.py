import pytest
import torch

from mmclip.glip import attention
from mmclip.glip.fusion import BiMultiHeadAttention


def inputs(batch=2, positions=37, words=5, v=8, w=12):
    generator = torch.Generator().manual_seed(1)
    masks = torch.ones(batch, words, dtype=torch.bool)
    masks[-1, 3:] = False
    return (
        torch.randn(batch, positions, v, generator=generator),
        torch.randn(batch, words, w, generator=generator),
        masks,
    )


def attention_of(impl, **kwargs):
    torch.manual_seed(0)
    layer = BiMultiHeadAttention(8, 12, 16, 4, attn_impl=impl, **kwargs)
    for linear in layer.children():  # zero biases would hide a fault
        torch.nn.init.normal_(linear.bias)
    return layer.eval()


@pytest.mark.parametrize('impl', ['sdpa', 'folded', 'auto'])
@pytest.mark.parametrize('batch', [1, 2])
def test_every_implementation_is_the_same_mathematics(impl, batch):
    given = inputs(batch)
    with torch.no_grad():
        wanted = attention_of('eager')(*given)
        found = attention_of(impl)(*given)
    for a, b in zip(wanted, found):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_positions_come_in_blocks_of_any_size(monkeypatch):
    given = inputs(positions=41)
    with torch.no_grad():
        wanted = attention_of('eager')(*given)
        monkeypatch.setattr(attention, 'BLOCK', 7 * 4 * 5)
        found = attention_of('folded')(*given)
    for a, b in zip(wanted, found):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_large_scores_do_not_overflow_the_streamed_softmax():
    vision, words, masks = inputs()
    with torch.no_grad():
        wanted = attention_of('sdpa')(vision * 40, words * 40, masks)
        found = attention_of('folded')(vision * 40, words * 40, masks)
    for a, b in zip(wanted, found):
        assert b.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_gradients_are_those_of_the_published_steps():
    given = inputs()
    grads = []
    for impl in ('eager', 'sdpa', 'folded'):  # folded gives way to sdpa
        layer = attention_of(impl)
        vision = given[0].clone().requires_grad_()
        outputs = layer(vision, *given[1:])
        sum((x**2).sum() for x in outputs).backward()
        grads.append((vision.grad, layer.l_proj.weight.grad))
    for other in grads[1:]:
        for a, b in zip(grads[0], other):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_an_image_whose_caption_is_all_padding_stays_finite():
    vision, words, masks = inputs(1)
    for impl in ('eager', 'sdpa', 'folded'):
        with torch.no_grad():
            found = attention_of(impl)(vision, words, masks & False)
        assert all(x.isfinite().all() for x in found)


def test_dropout_acts_in_training_alone():
    given = inputs()
    layer = attention_of('eager', dropout=0.5)
    with torch.no_grad():
        still = layer(*given)[0]
        torch.testing.assert_close(layer(*given)[0], still)
        assert not torch.allclose(layer.train()(*given)[0], still)


def test_folding_is_chosen_where_words_are_few():
    layer = BiMultiHeadAttention(256, 8, 2048, 8)
    vision = torch.zeros(1, 1, 256)
    with torch.no_grad():
        assert attention.choose(layer, vision, torch.zeros(1, 256, 8)) == (
            'folded'
        )
        narrow = BiMultiHeadAttention(256, 8, 64, 8)
        assert attention.choose(narrow, vision, torch.zeros(1, 256, 8)) == (
            'sdpa'
        )
    assert attention.choose(layer, vision, torch.zeros(1, 9, 8)) == 'eager'


@pytest.mark.parametrize(
    'wrong', [dict(num_heads=3), dict(num_heads=4, attn_impl='flash')]
)
def test_a_wrong_config_says_what_is_wrong(wrong):
    with pytest.raises(ValueError, match='num_heads=3|flash'):
        BiMultiHeadAttention(8, 12, 16, **wrong)
