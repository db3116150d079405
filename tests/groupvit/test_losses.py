import math

import pytest
import torch
import torch.nn.functional as F

from mmclip.clip.similarity import contrastive_loss
from mmclip.groupvit.losses import (
    MultiLabelContrastiveLoss,
    exponentiated,
    fits,
    multi_label_contrastive_loss,
)


def features(batch, prompts):
    torch.manual_seed(batch)
    return torch.randn(batch, 6), torch.randn(batch, prompts, 6)


@pytest.mark.parametrize('batch', [1, 2, 5])
def test_one_text_an_image_is_clips_loss(batch):
    image, text = features(batch, 1)
    ours = multi_label_contrastive_loss(image, text, 9.0)
    torch.testing.assert_close(ours, contrastive_loss(image, text[:, 0], 9.0))


def test_three_texts_share_the_target():
    image, text = features(4, 3)
    unit_image, unit_text = F.normalize(image, dim=1), F.normalize(text, dim=2)
    total = 0.0
    for i in range(4):
        to_texts = 7 * torch.einsum('d,bkd->bk', unit_image[i], unit_text)
        fit = to_texts.flatten().log_softmax(0).view(4, 3)[i].mean()
        to_images = 7 * unit_text[i] @ unit_image.T  # (K, B)
        back = to_images.log_softmax(1)[:, i].mean()
        total -= (fit + back) / 8
    ours = multi_label_contrastive_loss(image, text, 7.0)
    torch.testing.assert_close(ours, total)


def test_the_best_of_an_images_segments_counts():
    torch.manual_seed(0)
    segments, text = torch.randn(4, 5, 6), torch.randn(4, 3, 6)
    one = multi_label_contrastive_loss(segments[:, :1], text, 7.0)
    torch.testing.assert_close(
        one, multi_label_contrastive_loss(segments[:, 0], text, 7.0)
    )
    unit = F.normalize(text, dim=2)
    matched = torch.cat([unit, -unit], dim=1)  # one segment is a text's own
    logits = fits(matched, unit.flatten(0, 1), 100.0)
    best = 100 * (matched @ unit.flatten(0, 1).t()).amax(dim=1)
    assert (logits >= best - 1e-3).all()
    assert (logits <= best + math.log(6)).all()  # were all six alike
    own = torch.arange(4).repeat_interleave(3)
    assert (logits.argmax(dim=0) == own).all()


def test_the_scale_stops_at_a_hundred():
    scales = exponentiated(torch.tensor([0.0, math.log(50), 9.0]))
    torch.testing.assert_close(scales, torch.tensor([1.0, 50.0, 100.0]))


def test_the_weight_multiplies_and_half_precision_is_not_used():
    image, text = features(3, 2)
    log_scale = torch.tensor(2.0)
    plain = MultiLabelContrastiveLoss()(image, text, log_scale)
    with torch.autocast('cpu', torch.bfloat16):
        double = MultiLabelContrastiveLoss(2.0)(image, text, log_scale)
    torch.testing.assert_close(double, 2 * plain)
    assert double.dtype == torch.float32


@pytest.mark.parametrize('shape', [(3, 6), (2, 1, 6)])
def test_texts_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r'expected \(B, K, D\)'):
        multi_label_contrastive_loss(torch.ones(3, 6), torch.ones(shape), 1.0)
