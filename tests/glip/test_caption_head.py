import pytest
import torch

from tests.glip.tiny import PIECES, WORDS, build, images, tiny_glip

CAPTIONS = ['a red circle', 'a man walks the dogs and a cat']


def model(**options):
    head = dict(
        type='mmclip.CaptionHead',
        language_dim=WORDS,
        vocab_size=len(PIECES),
        max_length=12,
    )
    return build(tiny_glip(type='mmclip.GLIPv2', caption_head=head | options))


def parts(detector):
    return detector.bbox_head.head, detector.language_model


def teach(detector, captions):
    levels = detector.extract_feat(images(len(captions)))
    return detector.caption_head.teach(*parts(detector), levels, captions)


@torch.no_grad()
def test_padding_counts_nothing():
    detector = model().eval()
    both = teach(detector, CAPTIONS)
    levels = detector.extract_feat(images(2))
    alone, lengths = [], []
    for k, caption in enumerate(CAPTIONS):
        own = [level[k : k + 1] for level in levels]
        loss = detector.caption_head.teach(*parts(detector), own, [caption])
        alone.append(float(loss))
        lengths.append(detector.tokenizer.count(caption) + 1)
    mean = sum(a * n for a, n in zip(alone, lengths)) / sum(lengths)
    assert float(both) == pytest.approx(mean, rel=1e-4)


def pictures():
    """Two images that differ at first sight."""
    return images(2) + torch.tensor([-2.0, 2.0])[:, None, None, None]


def learnt(**options):
    """A model that learnt to tell two images apart, and its last loss."""
    detector = model(**options).eval()  # without dropout it takes seconds
    levels = [x.detach() for x in detector.extract_feat(pictures())]
    optimiser = torch.optim.AdamW(detector.parameters(), lr=5e-3)
    for _ in range(60):
        loss = detector.caption_head.teach(*parts(detector), levels, CAPTIONS)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimiser.step()
    return detector, loss.item()


@pytest.fixture(scope='module')
def teller():
    return learnt()


def test_captions_are_learnt_and_told(teller):
    detector, loss = teller
    assert loss < 0.1
    levels = detector.extract_feat(pictures())
    for beams in (1, 3):
        detector.caption_head.beam_size = beams
        found = detector.caption_head.tell(*parts(detector), levels)
        assert [caption for caption, _ in found] == CAPTIONS
    detector.caption_head.beam_size = 1


@torch.no_grad()
def test_what_is_told_has_the_probability_that_is_taught(teller):
    detector, _ = teller
    levels = detector.extract_feat(pictures())
    found = detector.caption_head.tell(*parts(detector), levels)
    for k, (caption, score) in enumerate(found):
        own = [level[k : k + 1] for level in levels]
        loss = detector.caption_head.teach(*parts(detector), own, [caption])
        count = detector.tokenizer.count(caption) + 1
        # two ids can never be told, whose share is next to nothing
        assert score == pytest.approx(-float(loss) * count, abs=2e-2)


def test_the_images_side_runs_once(teller, monkeypatch):
    detector, _ = teller
    calls = []
    block = detector.bbox_head.head.dyhead_tower[2]
    forward = type(block).forward
    monkeypatch.setattr(
        type(block), 'forward', lambda *a: calls.append(1) or forward(*a)
    )
    levels = detector.extract_feat(pictures())
    detector.caption_head.tell(*parts(detector), levels)
    assert len(calls) == 1  # of two blocks the last is read by nobody


@torch.no_grad()
def test_a_caption_that_does_not_end_is_cut(teller):
    detector, _ = teller
    levels = detector.extract_feat(pictures())
    detector.caption_head.max_length = 2
    found = detector.caption_head.tell(*parts(detector), levels)
    detector.caption_head.max_length = 12
    assert [caption for caption, _ in found] == ['a red', 'a man']


@pytest.mark.parametrize('caption', ['', '  ', None])
def test_an_empty_caption_is_an_error(caption):
    with pytest.raises(ValueError, match='expected a text with words'):
        teach(model(), [caption])


def test_a_caption_over_the_limit_is_an_error():
    with pytest.raises(ValueError, match='has 42 tokens.*reads 32.*shorten'):
        teach(model(), ['cat ' * 40])


@pytest.mark.parametrize(
    ('wrong', 'said'),
    [
        (dict(max_length=0), 'expected 1 or more'),
        (dict(beam_size=0), 'expected 1 or more'),
        (dict(max_length=40), 'reads 32'),
        (dict(vocab_size=99), 'vocab_size=99'),
    ],
)
def test_a_head_that_does_not_fit_its_model_is_an_error(wrong, said):
    with pytest.raises(ValueError, match=said):
        model(**wrong)


def test_a_language_model_that_is_not_read_word_by_word_is_an_error():
    clip = dict(type='mmclip.CLIPTextTokens', model='shapes-clip')
    with pytest.raises(TypeError, match='CLIPTextTokens cannot read word'):
        build(
            tiny_glip(
                type='mmclip.GLIPv2',
                language_model=clip,
                caption_head=dict(
                    type='mmclip.CaptionHead',
                    language_dim=WORDS,
                    vocab_size=len(PIECES),
                ),
            )
        )
