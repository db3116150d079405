import numpy as np
import pytest

from mmclip.glip.masking import Change, apply, moved
from mmclip.registry import TRANSFORMS
from tests.glip.words import tokenizer_of

CAPTION = 'a man walks two dogs on the street. a hot-dog, cats'


def masker(**kwargs):
    kind = dict(type='mmclip.MaskWords', tokenizer=tokenizer_of())
    return TRANSFORMS.build(kind | kwargs)


def test_masked_tokens_are_remembered_with_their_places():
    tokenizer = tokenizer_of()
    before = tokenizer.encode(CAPTION).ids
    for seed in range(40):
        np.random.seed(seed)
        results = masker(prob=0.5)(dict(text=CAPTION))
        after = tokenizer.encode(results['text']).ids
        hidden = dict(results['masked_words'])
        assert len(after) == len(before)
        assert all(before[place] == i for place, i in hidden.items())
        same = [k for k in range(len(after)) if k not in hidden]
        assert [after[k] for k in same] == [before[k] for k in same]


def test_a_word_of_two_pieces_is_masked_whole():
    results = masker(prob=1.0, mask_prob=1.0)(dict(text='two dogs'))
    assert results['text'] == '[MASK] [MASK] [MASK]'
    tokenizer = tokenizer_of()
    ids = tokenizer.encode('two dogs').ids
    assert results['masked_words'] == [[1, ids[1]], [2, ids[2]], [3, ids[3]]]


def test_words_are_masked_changed_or_left_as_often_as_said():
    np.random.seed(0)
    transform = masker(prob=0.3)
    text = ' '.join(['cup'] * 200)
    results = transform(dict(text=text))
    words = results['text'].split()
    hidden = len(results['masked_words'])
    masked, kept = words.count('[MASK]'), words.count('cup')
    assert 40 < hidden < 80
    assert 0.65 * hidden < masked < 0.95 * hidden
    assert 0 < 200 - masked - kept < 0.25 * hidden
    assert hidden > 200 - kept  # some of the hidden ones stay as they are


def test_only_what_the_image_shows_is_hidden():
    start = CAPTION.index('two')
    spans = [[start, start + 8]]
    results = masker(prob=1.0, mask_prob=1.0)(
        dict(text=CAPTION, true_spans=spans)
    )
    expected = CAPTION.replace('two dogs', '[MASK] [MASK] [MASK]')
    assert results['text'] == expected
    assert results['true_spans'] == [[start, start + 20]]


def test_spans_follow_their_words():
    first, last = CAPTION.index('two'), CAPTION.index('hot')
    spans = {0: [[0, 5]], 3: [[first, first + 8], [last, last + 7]]}
    changed = 0
    for seed in range(30):
        np.random.seed(seed)
        results = masker(prob=0.5, mask_prob=1.0)(
            dict(text=CAPTION, tokens_positive=spans)
        )
        said = [
            results['text'][a:b]
            for own in results['tokens_positive'].values()
            for a, b in own
        ]
        counts = [tokenizer_of().count(text) for text in said]
        assert counts == [2, 3, 3]
        changed += said != ['a man', 'two dogs', 'hot-dog']
        assert results['tokens_positive'].keys() == {0, 3}
    assert changed > 10


def test_nothing_to_hide_changes_nothing():
    results = masker(prob=1.0)(dict(text='', tokens_positive={}))
    assert results == dict(text='', tokens_positive={}, masked_words=[])
    results = masker(prob=0.0)(dict(text='a dog', tokens_positive=-1))
    assert results['text'] == 'a dog'
    assert results['tokens_positive'] == -1


@pytest.mark.parametrize(
    ('span', 'expected'),
    [([0, 2], [0, 2]), ([3, 6], [3, 9]), ([4, 5], [3, 9]), ([7, 9], [10, 12])],
)
def test_a_span_takes_a_changed_word_as_a_whole(span, expected):
    changes = [Change(3, 6, '[MASK]')]
    assert apply('ab dog cd', changes) == 'ab [MASK] cd'
    assert moved(span, changes) == expected


def test_a_tokenizer_without_mask_and_names_are_told():
    with pytest.raises(TypeError, match=r'no \[MASK\]'):
        masker(tokenizer='shapes-clip')(dict(text='a red dog'))
    with pytest.raises(TypeError, match='SampleNegativeClasses before'):
        masker()(dict(text=['dog']))
