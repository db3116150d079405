import pytest
import torch
from mmdet.models.losses import FocalLoss

from mmclip.glip.token_losses import TokenFocalLoss


def inputs(tokens=7):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, tokens, generator=generator)
    targets = (torch.rand(2, 5, tokens, generator=generator) > 0.7).float()
    masks = torch.ones(2, tokens, dtype=torch.bool)
    masks[1, 3:] = False
    return logits, targets, masks


@pytest.mark.parametrize('tokens', [4, 7, 300])
def test_it_is_mmdets_focal_loss_over_the_words_alone(tokens):
    logits, targets, masks = inputs(tokens)
    words = masks[:, None].expand_as(logits)
    wanted = FocalLoss()(
        logits[words], targets[words], torch.ones(int(words.sum())), 3.0
    )
    torch.testing.assert_close(
        TokenFocalLoss()(logits, targets, masks, 3.0), wanted
    )


def test_padding_counts_where_it_is_not_masked():
    logits, targets, masks = inputs()
    every = TokenFocalLoss('unmasked')(logits, targets, masks)
    torch.testing.assert_close(
        every, TokenFocalLoss()(logits, targets, masks | True)
    )


@pytest.mark.parametrize('kind', ['sigmoid', 'softmax', 'unmasked'])
def test_a_right_answer_costs_less_than_a_wrong_one(kind):
    _, targets, masks = inputs()
    targets[..., 3:] = 0
    right = TokenFocalLoss(kind)(8 * targets - 4, targets, masks)
    wrong = TokenFocalLoss(kind)(4 - 8 * targets, targets, masks)
    assert right < 0.2 * wrong


def test_half_precision_is_computed_in_full():
    logits, targets, masks = inputs()
    loss = TokenFocalLoss(loss_weight=2.0)(logits.half(), targets, masks)
    assert loss.dtype == torch.float32
    with pytest.raises(ValueError, match="kind='dice'"):
        TokenFocalLoss('dice')
