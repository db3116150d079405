import pytest
import torch
from mmengine.registry import DefaultScope

from mmclip.clip.similarity import cosine_logits
from mmclip.lseg.head import (
    STRIP,
    LSegHead,
    check_labels,
    cosines_through,
    parts_of,
    pixel_norms,
)
from tests.lseg.tiny import NAMES, TABLE, sample, vocabulary


def head(names=NAMES[:4], **options):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return LSegHead(vocabulary(names), 8, **options).eval()


@pytest.fixture
def features():
    torch.manual_seed(1)
    return torch.randn(2, 8, 5, 6)


BLOCKS = [
    None,
    dict(kind='bottleneck', depth=2, activation='tanh'),
    dict(kind='depthwise', depth=2, activation='relu'),
]


@pytest.mark.parametrize('count', [1, 5])
@pytest.mark.parametrize('batch', [1, 2])
def test_every_name_is_scored_at_every_position(features, batch, count):
    found = head(NAMES[:count])(features[:batch])
    assert found.shape == (batch, count, 5, 6)


def test_scores_are_cosines_times_a_constant(features):
    model = head()
    wanted = cosine_logits(
        model.embed(features), model.vocabulary.embeddings, 1 / 0.07, dim=1
    )
    torch.testing.assert_close(model(features), wanted)
    assert 'log_scale' not in model.state_dict()


def test_embeddings_of_any_length_give_the_same_scores(features):
    model = head()
    maps, norm = model.prepare(features)
    texts = torch.randn(3, 16)
    torch.testing.assert_close(
        cosines_through(model.project, maps, norm, 5 * texts, 2.0),
        cosines_through(model.project, maps, norm, texts, 2.0),
    )


def test_a_black_pixel_embedding_scores_zero_and_not_nan():
    model = head()
    torch.nn.init.zeros_(model.project.bias)
    scores = model(torch.zeros(1, 8, 1, 1))
    assert (scores == 0).all()


def test_pixels_that_are_embeddings_need_no_projection(features):
    texts = torch.randn(3, 8)
    torch.testing.assert_close(
        cosines_through(
            torch.nn.Identity(), features, pixel_norms(features), texts, 5.0
        ),
        cosine_logits(features, texts, 5.0, dim=1),
    )


@pytest.mark.parametrize('rows', [1, STRIP - 1, STRIP, STRIP + 3])
def test_lengths_found_in_strips_are_those_of_the_whole(rows):
    model, maps = head(), torch.randn(2, 8, rows, 5)
    wanted = pixel_norms(model.embed(maps))
    with torch.no_grad():
        _, found = model.prepare(maps)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize('block', BLOCKS)
def test_permuting_the_names_permutes_the_scores(features, block):
    model, order = head(spatial_block=block), [2, 0, 3, 1]
    first = model(features)
    model.set_vocabulary([NAMES[k] for k in order])
    torch.testing.assert_close(
        model(features) / 14, first[:, order] / 14, rtol=0, atol=1e-6
    )


def test_another_name_leaves_the_other_scores_as_they_are(features):
    model = head(NAMES[:3])
    first = model(features)
    model.set_vocabulary(NAMES[:5])
    torch.testing.assert_close(
        model(features)[:, :3] / 14, first / 14, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize('block', BLOCKS)
@pytest.mark.parametrize('size', [1, 3, 8, 100])
@pytest.mark.parametrize(
    'background',
    [
        None,
        dict(kind='words', words=['boat', 'road']),
        dict(kind='threshold', threshold=0.1),
        dict(kind='learnt'),
    ],
)
def test_names_in_chunks_score_as_all_at_once(
    features, block, size, background
):
    if background:
        background = dict(background, name='other')
    model = head(NAMES, spatial_block=block, background=background)
    parts = list(model.chunks(model.prepare(features), size))
    assert {part.shape[1] for part in parts[:-1]} <= {size}
    torch.testing.assert_close(
        torch.cat(parts, dim=1), model(features), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(
    ('count', 'size', 'wanted'),
    [
        (1, 8, [1]),
        (8, 8, [8]),
        (12, 8, [8, 4]),
        (19, 8, [8, 11]),  # a rest of three is resized by another kernel
        (7, 3, [3, 3, 1]),
        (1203, 32, [32] * 37 + [19]),
    ],
)
def test_a_short_rest_joins_the_part_before_it(count, size, wanted):
    parts = parts_of(count, size)
    assert [part.stop - part.start for part in parts] == wanted
    assert sum((list(range(count))[p] for p in parts), []) == [*range(count)]


def test_a_learnable_scale_is_trained_and_saved(features):
    model = head(learnable_scale=True, logit_scale=10)
    torch.testing.assert_close(model(features), head(logit_scale=10)(features))
    model(features).square().sum().backward()
    assert model.log_scale.grad != 0
    model.log_scale.data.fill_(50)
    assert model.logit_scale == 100


def test_the_text_encoder_runs_once_a_vocabulary(features, monkeypatch):
    from mmclip.clip import vocabulary as room

    calls = []
    encode = room.encode_names
    monkeypatch.setattr(
        room,
        'encode_names',
        lambda *args: calls.append(1) or encode(*args),
    )
    model = head()
    before = len(calls)
    for _ in range(3):
        model(features)
        with model.speaking('boat . road'):
            model(features)
    assert len(calls) - before == 1


def test_a_text_holds_within_its_block_alone(features):
    model = head()
    with model.speaking(['boat', 'road', 'sky']):
        assert model(features).shape[1] == model.num_classes == 3
    assert model.vocabulary.names == NAMES[:4]
    assert model.num_classes == 4


def test_phrases_are_said_instead_of_the_name(features):
    said = head(['pet', 'sky'], phrases={'pet': ['dog', 'cow']})
    plain = head(['dog', 'sky'])
    plain.set_vocabulary({'pet': ['dog', 'cow'], 'sky': ['sky']})
    torch.testing.assert_close(said(features), plain(features))
    assert said.vocabulary.names == ['pet', 'sky']


def test_phrases_hold_for_names_that_come_later(features):
    model = head(None, phrases={'pet': 'dog'})
    model.set_vocabulary(['sky', 'pet'])
    with model.speaking('pet'):
        torch.testing.assert_close(model(features), head(['dog'])(features))


def test_embeddings_take_the_place_of_names(features):
    model = head(None)
    model.set_vocabulary(TABLE[:3], ['a', 'b', 'c'])
    torch.testing.assert_close(model(features), head(NAMES[:3])(features))


def test_an_empty_vocabulary_says_how_to_fill_it(features):
    with pytest.raises(RuntimeError, match='the vocabulary is empty'):
        head(None)(features)
    with pytest.raises(ValueError, match='the list is empty'):
        head().set_vocabulary([])


def test_an_unknown_width_is_refused():
    config = dict(type='mmclip.Vocabulary')
    with pytest.raises(ValueError, match='embed_dims'):
        LSegHead(config, 8)


def test_pixels_of_another_width_are_refused():
    with pytest.raises(ValueError, match='16 wide'):
        cosines_through(
            torch.nn.Conv2d(4, 8, 1),
            torch.ones(1, 4, 1, 1),
            torch.ones(1, 1, 1, 1),
            torch.ones(2, 16),
            1,
        )


@pytest.mark.parametrize('label', [4, -1])
def test_a_label_without_name_is_refused(label):
    labels = torch.tensor([[0, label, 255]])
    with pytest.raises(ValueError, match=f'label {label} but'):
        check_labels(labels, 4, 255)


def test_ignored_labels_are_no_fault():
    assert check_labels(torch.full((1, 2, 2), 255), 4, 255) is None
    assert check_labels(torch.tensor([[-1, 3]]), 4, -1) is None


def test_training_draws_a_sentence_a_name_and_testing_averages(features):
    said = {'pet': ['dog', 'cow'], 'sky': ['sky']}
    model = head(None, text_sampling=dict(prompts='name'))
    model.set_vocabulary(said)
    plain = head(None)
    plain.set_vocabulary(said)
    torch.testing.assert_close(model(features), plain(features))
    alone = [head([name])(features) for name in ('dog', 'cow')]
    model.train()
    for _ in range(4):
        drawn = model(features)[:, :1]
        assert any(torch.allclose(drawn, one, atol=1e-5) for one in alone)
        assert not torch.allclose(drawn, plain(features)[:, :1])


def test_a_samples_own_phrases_are_drawn_from_too(features):
    model = head(['sky', 'road'], text_sampling=dict(prompts='name')).train()
    alone = [head([name])(features) for name in ('dog', 'cow')]
    for _ in range(3):  # encoded, then remembered
        with model.speaking({'pet': ['dog', 'cow']}):
            drawn = model(features)
        assert any(torch.allclose(drawn, one, atol=1e-5) for one in alone)
    torch.testing.assert_close(
        model(features), head(['sky', 'road'])(features)
    )


def batch_of_two(**meta):
    """A mask without caption, and a caption without mask."""
    masked = sample((10, 12), label=1)
    captioned = sample((10, 12), label=255, **meta)
    return [masked, captioned]


def test_a_caption_adds_its_loss_to_that_of_the_masks(features):
    samples = batch_of_two(caption='a dog and a boat')
    plain = head().train().loss(features, samples, None)
    model = head(loss_caption=dict(negatives=3)).train()
    model.loss_caption.encode(NAMES[:6])
    losses = model.loss(features, samples, None)
    assert losses['loss_caption'] > 0
    torch.testing.assert_close(losses['loss_ce'], plain['loss_ce'])


def test_a_batch_of_captions_alone_has_both_losses(features):
    caption = dict(label=255, caption='a dog')
    losses = (
        head(loss_caption=dict())
        .train()
        .loss(features, [sample((10, 12), **caption)] * 2, None)
    )
    assert losses['loss_ce'] == 0
    assert losses['loss_caption'].isfinite()


def test_captions_do_nothing_where_no_loss_is_asked_for(features):
    samples = batch_of_two(caption='a dog')
    assert 'loss_caption' not in head().train().loss(features, samples, None)
