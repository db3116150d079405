import pytest
import torch
import torch.nn.functional as F

from mmclip.lseg.caption_loss import (
    CaptionLoss,
    grounding_loss,
    phrase_scores,
)
from tests.lseg.tiny import NAMES, TABLE, WIDTH, vocabulary


def loss(**options):
    return CaptionLoss(vocabulary(None), **options)


def text(name):
    return F.normalize(torch.tensor(TABLE[NAMES.index(name)]).float(), dim=0)


def painted(*names, size=4):
    """Return pixel embeddings of one image: a column a name."""
    columns = torch.stack([text(name) for name in names], dim=1)
    return columns[:, None].expand(WIDTH, size, len(names))[None].clone()


def test_the_score_is_the_best_pixels_cosine_where_the_scale_is_high():
    pixels, texts = torch.randn(2, WIDTH, 5, 6), torch.randn(3, WIDTH)
    found = phrase_scores(pixels, texts, 1000.0) / 1000
    cosines = torch.einsum(
        'bdhw,ud->buhw', F.normalize(pixels, dim=1), F.normalize(texts, dim=1)
    )
    torch.testing.assert_close(
        found, cosines.amax(dim=(2, 3)), rtol=0, atol=2e-2
    )
    low = phrase_scores(pixels, texts, 1e-3) / 1e-3
    torch.testing.assert_close(
        low, cosines.mean(dim=(2, 3)), rtol=0, atol=1e-2
    )


def test_pairs_that_also_belong_together_are_not_told_apart():
    scores = torch.tensor([[2.0, 0.0, 1.0], [0.5, 1.5, 1.0]])
    contains = torch.tensor([[True, False, True], [False, True, True]])
    found = grounding_loss(scores, contains)
    pairs = []
    for i, u in contains.nonzero().tolist():
        names = [v for v in range(3) if v == u or not contains[i, v]]
        images = [j for j in range(2) if j == i or not contains[j, u]]
        by_image = scores[i, names].logsumexp(0) - scores[i, u]
        by_phrase = scores[images, u].logsumexp(0) - scores[i, u]
        pairs.append((by_image + by_phrase) / 2)
    torch.testing.assert_close(found, torch.stack(pairs).mean())


def test_one_image_with_one_phrase_teaches_nothing():
    found = grounding_loss(torch.randn(1, 1), torch.ones(1, 1).bool())
    assert found == 0


def test_pixels_of_the_right_names_lose_less():
    images = torch.cat([painted('dog', 'sky'), painted('boat', 'road')])
    right = ['a dog and the sky', 'a boat, a road']
    assert loss()(images, right, 20) < loss()(images, right[::-1], 20) - 1


def test_training_on_captions_puts_the_phrases_on_pixels():
    torch.manual_seed(0)
    pixels = torch.randn(2, WIDTH, 3, 3, requires_grad=True)
    made = loss(negatives=4)
    optimizer = torch.optim.Adam([pixels], lr=0.1)
    captions = ['a dog and the sky', 'a boat']
    first = made(pixels, captions, 10).item()
    for _ in range(40):
        optimizer.zero_grad()
        made(pixels, captions, 10).backward()
        optimizer.step()
    assert made(pixels, captions, 10).item() < first / 4
    scores = phrase_scores(
        pixels, torch.stack([text('dog'), text('boat')]), 10
    )
    assert scores.argmax(dim=0).tolist() == [0, 1]


def test_images_without_caption_count_for_nothing():
    torch.manual_seed(0)
    pixels = torch.randn(3, WIDTH, 2, 2, requires_grad=True)
    made = loss()
    with_two = made(pixels, ['a dog', None, 'a boat'], 10)
    torch.testing.assert_close(
        with_two, made(pixels[[0, 2]], ['a dog', 'a boat'], 10)
    )
    with_two.backward()
    assert (pixels.grad[1] == 0).all()
    assert (pixels.grad[0] != 0).any()


def test_without_any_caption_it_is_a_zero_that_has_a_gradient():
    pixels = torch.randn(1, WIDTH, 2, 2, requires_grad=True)
    found = loss()(pixels, [None], 10)
    found.backward()
    assert found == 0
    assert (pixels.grad == 0).all()


def test_the_weight_is_a_factor():
    pixels, captions = torch.randn(2, WIDTH, 2, 2), ['a dog', 'a boat']
    torch.testing.assert_close(
        loss(loss_weight=3.0)(pixels, captions, 5),
        3 * loss()(pixels, captions, 5),
    )


def test_each_phrase_is_encoded_once_and_few_are_kept(monkeypatch):
    made = loss(remembered=3)
    asked, vocabulary_set = [], type(made._vocabulary[0]).set
    monkeypatch.setattr(
        type(made._vocabulary[0]),
        'set',
        lambda self, names: asked.append(names) or vocabulary_set(self, names),
    )
    made.encode(['dog', 'sky'])
    found = made.encode(['sky', 'boat', 'dog'])
    assert asked == [['dog', 'sky'], ['boat']]
    torch.testing.assert_close(found[1], text('boat'))
    made.encode(['road'])
    assert list(made._known) == ['sky', 'boat', 'road']


def test_earlier_phrases_serve_as_negatives():
    made = loss(negatives=2)
    made.encode(['dog', 'sky', 'boat', 'road'])
    drawn = made._earlier(['dog'])
    assert len(drawn) == 2
    assert 'dog' not in drawn
    pixels = torch.randn(1, WIDTH, 2, 2)
    assert made(pixels, ['a dog'], 5) > 0


def test_it_adds_nothing_to_checkpoints():
    assert not loss().state_dict()


def test_a_phrase_that_the_encoder_does_not_know_is_an_error():
    with pytest.raises(ValueError, match='unicorn'):
        loss()(torch.randn(1, WIDTH, 2, 2), ['a unicorn'], 5)
