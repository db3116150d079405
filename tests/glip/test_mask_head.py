import pytest
import torch
from mmdet.registry import MODELS


def head():
    torch.manual_seed(0)
    built = MODELS.build(
        dict(
            type='mmclip.VLMaskHead',
            num_convs=1,
            in_channels=8,
            conv_out_channels=8,
            language_dim=12,
        )
    )
    built.init_weights()
    torch.nn.init.normal_(built.bias_lang)
    return built


def inputs(regions=3):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(regions, 8, 7, 7, generator=generator),
        torch.randn(2, 5, 12, generator=generator),
        torch.tensor([0, 1, 1])[:regions],
    )


ROWS = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [1, 1, 1, 1, 1]]).bool()


def test_the_mean_word_gives_the_mean_of_all_words_logits():
    masks, (regions, words, images) = head(), inputs()
    every = masks.word_logits(regions, words, images)
    assert every.shape == (3, 5, 14, 14)
    wanted = torch.stack([x[row].mean(0) for x, row in zip(every, ROWS)])
    found = masks(regions, words, images, ROWS)
    torch.testing.assert_close(found[:, 0], wanted, rtol=1e-4, atol=1e-5)


def test_rows_may_be_longer_than_the_words():
    masks, (regions, words, images) = head(), inputs()
    longer = torch.nn.functional.pad(ROWS, (0, 3))
    torch.testing.assert_close(
        masks(regions, words, images, longer),
        masks(regions, words, images, ROWS),
    )


@pytest.mark.parametrize('regions', [0, 1])
def test_none_and_one_region_have_a_loss(regions):
    masks, given = head(), inputs(regions)
    logits = masks(*given, ROWS[:regions])
    assert logits.shape == (regions, 1, 14, 14)
    loss = masks.mask_loss(logits, torch.ones(regions, 14, 14))
    assert loss.shape == ()
    loss.backward()
    assert (loss == 0) == (regions == 0)
