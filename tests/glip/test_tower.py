import math

import pytest
import torch

from mmclip.glip.tower import RegionWordDot, VLDyHead


def tower(**kwargs):
    torch.manual_seed(0)
    options = dict(
        num_levels=2,
        num_dyhead_blocks=2,
        fusion=dict(embed_dim=16, num_heads=2),
        text_layer=dict(heads=2),
        dyconv=dict(num_groups=4),
    )
    return VLDyHead(16, 16, 12, **options | kwargs).eval()


def inputs(batch=2, tokens=9, words=6):
    generator = torch.Generator().manual_seed(4)
    levels = [
        torch.randn(batch, 16, *size, generator=generator)
        for size in ((4, 6), (2, 3))
    ]
    hidden = torch.randn(batch, tokens, 12, generator=generator)
    masks = torch.zeros(batch, tokens, dtype=torch.bool)
    masks[:, :words] = True
    return levels, dict(
        hidden=hidden, masks=masks, embedded=hidden * masks[..., None]
    )


@pytest.mark.parametrize(('batch', 'tokens'), [(1, 6), (2, 40), (2, 300)])
def test_captions_of_any_number_of_tokens_are_compared(batch, tokens):
    levels, language = inputs(batch, tokens, tokens)
    logits, boxes, centre = tower()(levels, language)
    assert [x.shape for x in logits] == [
        (batch, 24, tokens),
        (batch, 6, tokens),
    ]
    assert [x.shape for x in boxes] == [(batch, 4, 4, 6), (batch, 4, 2, 3)]
    assert [x.shape for x in centre] == [(batch, 1, 4, 6), (batch, 1, 2, 3)]


@pytest.mark.parametrize('early_fuse', [True, False])
def test_cutting_padding_off_changes_no_word(early_fuse):
    levels, language = inputs()
    with torch.no_grad():
        head = tower(early_fuse=early_fuse)
        short = head(levels, language)
        head.trim_padding = False
        full = head(levels, language)
    for a, b in zip(short[0], full[0]):
        assert (a.shape[2], b.shape[2]) == (6, 9)
        torch.testing.assert_close(a, b[..., :6], rtol=1e-5, atol=1e-5)
    for a, b in zip(short[1] + short[2], full[1] + full[2]):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_without_fusion_boxes_do_not_depend_on_words():
    levels, language = inputs()
    other = {**language, 'hidden': language['hidden'] * 2}
    for early_fuse, same in ((False, True), (True, False)):
        head = tower(early_fuse=early_fuse)
        torch.nn.init.normal_(head.bbox_pred.weight)
        a, b = (head(levels, words)[1][0] for words in (language, other))
        assert torch.allclose(a, b) == same


def test_the_first_logit_is_that_of_one_in_a_hundred():
    levels, language = inputs()
    head = tower()
    torch.nn.init.zeros_(head.dot_product_projection_text.weight)
    torch.nn.init.zeros_(head.dot_product_projection_text.bias)
    logits = head(levels, language)[0][0]
    torch.testing.assert_close(logits.sigmoid(), torch.full_like(logits, 0.01))


def test_the_first_scale_of_fusion_is_one_by_the_blocks():
    for blocks in (2, 4):
        head = tower(num_dyhead_blocks=blocks)
        gamma = head.dyhead_tower[0].b_attn.gamma_v
        assert math.isclose(float(gamma[0]), 1 / blocks, rel_tol=1e-6)


def test_other_channels_in_the_first_block_are_convolved_plainly():
    torch.manual_seed(0)
    head = VLDyHead(
        8,
        16,
        12,
        num_levels=2,
        num_dyhead_blocks=2,
        early_fuse=False,
        dyconv=dict(num_groups=4),
    )
    assert head.dyhead_tower[0].offset is None
    assert head.dyhead_tower[1].offset is not None


def test_several_anchors_at_a_place_are_rows_of_their_own():
    head = tower(num_base_priors=3)
    levels, language = inputs()
    assert head(levels, language)[0][0].shape == (2, 24 * 3, 6)


def test_logits_stay_within_half_precision():
    head = tower()
    torch.nn.init.constant_(head.log_scale, -20.0)
    read = RegionWordDot(head, torch.randn(1, 3, 12))
    assert read(torch.randn(1, 16, 2, 2)).abs().max() <= 50000
