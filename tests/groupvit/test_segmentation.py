import pytest
import torch

from mmclip.clip.similarity import cosine_logits
from mmclip.groupvit.segmentation import (
    background_of,
    mask_shares,
    name_groups,
    paint,
    with_background,
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


SCORES = torch.tensor([[[0.6, 0.1], [0.2, 0.4], [0.1, 0.1]]])
NOTHING = torch.zeros(1, 3, 0)


@pytest.mark.parametrize(
    ('threshold', 'expected'),
    [(0.05, [0, 0, 0]), (0.3, [0, 0, 1]), (0.5, [0, 1, 1]), (0.95, [0, 1, 1])],
)
def test_unsure_groups_are_background_but_the_best_group_stays(
    threshold, expected
):
    ground = background_of(SCORES, threshold, NOTHING)
    assert ground.flatten().tolist() == expected


def test_each_image_of_a_batch_has_its_own_limit():
    scores = torch.cat([SCORES, SCORES / 2])
    ground = background_of(scores, 0.5, NOTHING.expand(2, -1, -1))
    assert ground.flatten(1).tolist() == [[0, 1, 1], [0, 1, 1]]


@pytest.mark.parametrize('row', [0, 2, 5])
def test_words_become_the_background_where_it_stands(features, row):
    groups, image, text = features
    plain = name_groups(groups, image, text, 5.0)  # 5 names, 2 words
    scores = with_background(plain, row, num_contrast=2)
    torch.testing.assert_close(scores[..., row], plain[..., 5:].amax(dim=2))
    others = [k for k in range(6) if k != row]
    torch.testing.assert_close(scores[..., others], plain[..., :5])


def test_threshold_and_words_both_count(features):
    plain = name_groups(*features, 5.0)
    words = with_background(plain, 0, num_contrast=2)[..., 0]
    limit = with_background(plain[..., :5], 0, threshold=0.3)[..., 0]
    both = with_background(plain, 0, num_contrast=2, threshold=0.3)[..., 0]
    torch.testing.assert_close(both, torch.maximum(words, limit))


def test_masks_are_shared_out_over_positions():
    labels = torch.tensor([[[0, 0, 1, 1], [0, 2, 1, 1]]])
    shares = mask_shares(labels, 3, (1, 2))
    assert shares.tolist() == [[[0.75, 0], [0, 1], [0.25, 0]]]
