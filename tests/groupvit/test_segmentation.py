import pytest
import torch

from mmclip.clip.similarity import cosine_logits
from mmclip.groupvit.segmentation import (
    background_score,
    name_groups,
    paint,
    segment_scores,
)


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(2, 4, 8), torch.randn(2, 8), torch.randn(7, 8)


def test_names_that_do_not_fit_the_image_score_nothing(features):
    groups, image, text = features
    scores = name_groups(groups, image, text, 5.0, topk=3)
    for b in range(2):
        best = cosine_logits(image[b], text).topk(3).indices
        for g in range(4):
            logits = cosine_logits(groups[b, g], text, 5.0)
            expected = torch.zeros(7)
            expected[best] = logits[best].softmax(0)
            expected *= logits.softmax(0)
            torch.testing.assert_close(scores[b, g], expected)


@pytest.mark.parametrize('topk', [None, 7, 9])
def test_without_a_choice_every_name_counts(features, topk):
    groups, image, text = features
    scores = name_groups(groups, image, text, 5.0, topk)
    shares = cosine_logits(groups, text, 5.0).softmax(-1)
    torch.testing.assert_close(scores, shares.square())


def test_one_name_is_everywhere(features):
    groups, image, text = features
    scores = name_groups(groups, image, text[:1], 5.0)
    torch.testing.assert_close(scores, torch.ones(2, 4, 1))


def test_a_pixel_has_the_scores_of_its_group():
    scores = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    labels = torch.tensor([[[0, 1], [1, 0]]])
    painted = paint(scores, labels)
    one_hot = torch.nn.functional.one_hot(labels, 2).float()
    expected = torch.einsum('bhwg,bgk->bkhw', one_hot, scores)
    torch.testing.assert_close(painted, expected)


LABELS = torch.tensor([[[0, 1, 2]]])
SCORES = torch.tensor([[[0.6, 0.1], [0.2, 0.4], [0.1, 0.1]]])


@pytest.mark.parametrize(
    ('threshold', 'expected'),
    [(0.05, [0, 0, 0]), (0.3, [0, 0, 1]), (0.5, [0, 1, 1]), (0.95, [0, 1, 1])],
)
def test_unsure_pixels_are_background_but_the_best_group_stays(
    threshold, expected
):
    ground = background_score(SCORES, LABELS, threshold)
    assert ground.flatten().tolist() == expected


def test_each_image_of_a_batch_has_its_own_limit():
    scores = torch.cat([SCORES, SCORES / 2])
    labels = LABELS.expand(2, -1, -1)
    ground = background_score(scores, labels, 0.5)
    assert ground.flatten(1).tolist() == [[0, 1, 1], [0, 1, 1]]


def test_contrast_names_become_the_background(features):
    groups, image, text = features
    labels = torch.randint(0, 4, (2, 3, 5))
    plain = segment_scores(groups, image, labels, text, 5.0)
    scores = segment_scores(groups, image, labels, text, 5.0, num_contrast=2)
    torch.testing.assert_close(scores[:, 1:], plain[:, :5])
    torch.testing.assert_close(scores[:, 0], plain[:, 5:].amax(dim=1))


def test_a_threshold_adds_one_channel_in_front(features):
    groups, image, text = features
    labels = torch.randint(0, 4, (2, 3, 5))
    plain = segment_scores(groups, image, labels, text, 5.0)
    scores = segment_scores(groups, image, labels, text, 5.0, threshold=0.3)
    torch.testing.assert_close(scores[:, 1:], plain)
    unsure = plain.amax(dim=1) < plain.amax(dim=(1, 2, 3))[
        :, None, None
    ].clamp(max=0.3)
    torch.testing.assert_close(scores[:, 0], unsure.float())
