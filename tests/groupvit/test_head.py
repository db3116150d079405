import pytest
import torch

from mmclip.groupvit.head import GroupBackground, GroupFeatures, GroupViTHead
from mmclip.groupvit.segmentation import (
    name_groups,
    paint,
    with_background,
)
from mmclip.groupvit.vocabulary import OwnVocabulary

NAMES = ['cat', 'dog', 'sofa', 'road', 'sky', 'tree', 'bus']


def encode(ids):
    """Embed ids (K, T, L) by random numbers that follow from them."""
    rows = [
        torch.randn(8, generator=torch.Generator().manual_seed(int(row.sum())))
        for row in ids
    ]
    return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


def head(names=NAMES, background=None, **options):
    silent = background and 'background'
    vocabulary = OwnVocabulary(encode, 77, silent=silent)
    built = GroupViTHead(
        vocabulary, lambda: torch.tensor(9.0), background=background, **options
    )
    built.set_vocabulary(list(names))
    return built


@pytest.fixture
def features():
    torch.manual_seed(0)
    return GroupFeatures(
        torch.randn(2, 8),
        torch.randn(2, 4, 8),
        torch.randint(0, 4, (2, 6, 5)),
    )


def test_pixels_get_their_groups_scores(features):
    built = head()
    scores = name_groups(
        features.groups, features.image, built.vocabulary.embeddings, 9.0
    )
    torch.testing.assert_close(built(features), paint(scores, features.labels))


@pytest.mark.parametrize('row', [0, 3, 7])
def test_the_background_stands_where_the_names_have_it(features, row):
    names = [*NAMES[:row], 'background', *NAMES[row:]]
    found = head(names, dict(kind='threshold', threshold=0.4))(features)
    plain = head()
    scores = name_groups(
        features.groups, features.image, plain.vocabulary.embeddings, 9.0
    )
    expected = with_background(scores, row, threshold=0.4)
    torch.testing.assert_close(found, paint(expected, features.labels))
    assert found.shape[1] == 8


def test_a_group_far_from_all_names_may_be_background(features):
    built = head(['background', *NAMES], dict(kind='cosine', threshold=0.5))
    texts = built.vocabulary.embeddings
    features.groups[0, 0] = 3 * texts[1] + 0.01
    scores = built.group_scores(features)
    cosines = torch.nn.functional.cosine_similarity(
        features.groups[:, :, None], texts[None, None, 1:], dim=-1
    )
    best = cosines.amax(dim=2)
    limit = best.amax(dim=1, keepdim=True).clamp(max=0.5)
    assert (scores[..., 0] == (best < limit).float()).all()
    assert scores[0, 0, 0] == 0
    assert 0 < scores[..., 0].sum() < 8
    torch.testing.assert_close(
        scores[..., 1:], head().group_scores(features)
    )  # names score as ever


def test_without_its_name_there_is_no_background(features):
    found = head(background=dict(kind='threshold', threshold=0.4))
    assert found.background_row is None
    torch.testing.assert_close(found(features), head()(features))


def test_words_mean_the_background(features):
    background = dict(kind='words', words=['wall', 'sea'])
    found = head(['background', *NAMES], background).group_scores(features)
    plain = head([*NAMES, 'wall', 'sea']).group_scores(features)
    torch.testing.assert_close(found[..., 1:], plain[..., :7])
    torch.testing.assert_close(found[..., 0], plain[..., 7:].amax(dim=-1))


def test_one_image_is_taken_out_of_a_batch(features):
    built = head()
    alone = features.of(1)
    torch.testing.assert_close(built(alone), built(features)[1:])
    features.seen = torch.randn(2, 4, 3)
    assert (features.of(0).seen == features.seen[:1]).all()


def test_a_text_is_answered_in_its_own_names_and_then_forgotten(features):
    built = head()
    with built.speaking('a cat . bird'):
        assert built.vocabulary.names == ['cat', 'bird']
        assert built(features).shape[1] == 2
    assert built.vocabulary.names == NAMES
    with pytest.raises(KeyError), built.speaking(['x']):
        raise KeyError
    assert built.vocabulary.names == NAMES


def test_a_second_opinion_is_added_to_the_scores(features):
    class Opinion:
        def logits(self, seen, phrases):
            assert phrases == {'cat': ['cat'], 'dog': ['dog']}
            return seen

    built = head(['cat', 'dog'], rescoring=Opinion())
    features.seen = torch.zeros(2, 4, 2)
    before = built.group_scores(features)
    features.seen[..., 1] = 50
    after = built.group_scores(features)
    torch.testing.assert_close(after[..., 1], torch.ones(2, 4))
    assert not torch.allclose(before, after)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(kind='learnt'), 'expected one of'),
        (dict(kind='threshold'), 'needs threshold='),
        (dict(kind='cosine', words=['sky']), 'needs threshold='),
        (dict(kind='words'), 'needs words='),
    ],
)
def test_a_background_that_lacks_something_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GroupBackground(**options)
