import pytest
import torch
import torch.nn.functional as F

from mmclip.clip.similarity import contrastive_loss, cosine_logits


@pytest.mark.parametrize('names', [1, 7])
def test_pixels_and_regions_score_alike(names):
    pixels, text = torch.randn(2, 8, 3, 5), torch.randn(names, 8)
    maps = cosine_logits(pixels, text, 10.0, dim=1)
    rows = cosine_logits(pixels.permute(0, 2, 3, 1), text, 10.0)
    assert maps.shape == (2, names, 3, 5)
    torch.testing.assert_close(maps.permute(0, 2, 3, 1), rows)
    expected = 10 * F.cosine_similarity(pixels[1, :, 2, 4], text[0], dim=0)
    torch.testing.assert_close(maps[1, 0, 2, 4], expected)


def test_no_region_gives_no_score():
    assert cosine_logits(torch.zeros(0, 8), torch.randn(3, 8)).shape == (0, 3)


def test_other_widths_are_refused():
    with pytest.raises(ValueError, match='7 wide along dim 1.*8 wide'):
        cosine_logits(torch.randn(2, 7, 3, 3), torch.randn(4, 8), dim=1)


def test_contrastive_loss_is_symmetric_and_lowest_for_own_pairs():
    image, text = torch.eye(4), torch.eye(4)
    loss = contrastive_loss(image, text, 50.0)
    assert loss < 1e-6
    assert contrastive_loss(image, text.flip(0), 50.0) > 10
    a, b = torch.randn(5, 6), torch.randn(5, 6)
    torch.testing.assert_close(
        contrastive_loss(a, b, 3.0), contrastive_loss(b, a, 3.0)
    )


def test_contrastive_loss_equals_open_clips():
    from open_clip.loss import ClipLoss

    a = F.normalize(torch.randn(5, 6), dim=1)
    b = F.normalize(torch.randn(5, 6), dim=1)
    scale = torch.tensor(7.0)
    torch.testing.assert_close(
        contrastive_loss(a, b, scale), ClipLoss()(a, b, scale)
    )
