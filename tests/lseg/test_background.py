import pytest
import torch

from tests.lseg.tiny import NAMES, tiny_lseg

WITH = [*NAMES[:2], 'background', NAMES[2]]


@pytest.fixture
def image():
    return torch.randn(2, 3, 64, 64)


def scores(names, image, **background):
    model = tiny_lseg(names=None, head=dict(background=background))
    model.set_vocabulary(names)
    with torch.no_grad():
        return model(image)


KINDS = [
    dict(kind='words', words=['tree', 'road', 'boat']),
    dict(kind='threshold', threshold=0.1),
    dict(kind='learnt'),
]


@pytest.mark.parametrize('background', KINDS, ids=lambda b: b['kind'])
def test_the_other_names_keep_their_scores(image, background):
    found = scores(WITH, image, **background)
    assert found.shape == (2, 4, 64, 64)
    without = scores(NAMES[:3], image, **background)
    torch.testing.assert_close(found[:, [0, 1, 3]], without)


def test_words_score_as_the_best_of_them_before_resizing(image):
    model = tiny_lseg(None, head=dict(background=KINDS[0]))
    with torch.no_grad():
        features = model.extract_feat(image)
        model.set_vocabulary(WITH)
        found = model.decode_head(features)[:, 2]
        model.set_vocabulary(KINDS[0]['words'])
        best = model.decode_head(features).max(dim=1).values
    torch.testing.assert_close(found, best)


def test_a_threshold_is_a_cosine(image):
    found = scores(WITH, image, **KINDS[1])
    torch.testing.assert_close(
        found[:, 2], torch.full_like(found[:, 2], 0.1 / 0.07)
    )


def test_a_learnt_background_is_trained(image):
    model = tiny_lseg(None, head=dict(background=dict(kind='learnt')))
    model.set_vocabulary(WITH)
    model.train()(image)[:, 2].sum().backward()
    assert model.decode_head.background.embedding.grad.abs().sum() > 0


def test_a_vocabulary_without_its_name_has_no_background(image):
    plain = scores(NAMES[:3], image, kind='learnt')
    model = tiny_lseg(NAMES[:3])
    assert plain.shape[1] == 3
    assert model.decode_head.background is None


def test_the_name_itself_need_not_be_known():
    assert 'background' not in NAMES
    model = tiny_lseg(None, head=dict(background=dict(kind='learnt')))
    model.set_vocabulary(WITH)
    assert model.decode_head.vocabulary.names == WITH


def test_its_own_name_may_be_another(image):
    words = dict(kind='words', words=['tree', 'road'], name='other')
    found = scores(['sky', 'other'], image, **words)
    plain = tiny_lseg(['sky', 'other'])
    with torch.no_grad():
        assert (found[:, 1] - plain(image)[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(kind='none'), 'expected one of'),
        (dict(kind='words'), "'words' needs a list"),
        (dict(kind='learnt', words=['sky']), 'the other kinds take none'),
        (dict(kind='threshold'), 'needs a cosine'),
        (dict(kind='learnt', threshold=0.2), 'the other kinds take none'),
    ],
)
def test_a_wrong_background_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        tiny_lseg(head=dict(background=wrong))
