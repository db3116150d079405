import json

import numpy as np
import pytest

from mmclip.glip.grounding import ground
from mmclip.glip.token_maps import positive_map
from mmclip.registry import TRANSFORMS
from tests.glip.words import tokenizer_of

CAPTION = 'a man walks two dogs on the street'
PHRASES = {
    0: dict(phrase='a man', tokens_positive=[[0, 5]]),
    1: dict(phrase='two dogs', tokens_positive=[[12, 20]]),
}
OTHERS = ['a red bus.', 'a hot cup', 'the bird plays']


def image(labels=(0, 1, 1), **kwargs):
    count = len(labels)
    return (
        dict(
            img_path='x.png',
            text=CAPTION,
            phrases=PHRASES,
            gt_bboxes=np.arange(4 * count).reshape(count, 4),
            gt_bboxes_labels=np.array(labels, np.int64),
        )
        | kwargs
    )


def packer(max_tokens=256, captions=OTHERS, **kwargs):
    return TRANSFORMS.build(
        dict(
            type='mmclip.PackNegativeCaptions',
            tokenizer=tokenizer_of(max_tokens),
            captions=captions,
            **kwargs,
        )
    )


ALWAYS = dict(no_pack_prob=0.0, full_pack_prob=1.0)


def said(results):
    return {
        label: [results['text'][a:b] for a, b in spans]
        for label, spans in results['tokens_positive'].items()
    }


def test_spans_move_with_the_own_caption():
    transform, starts = packer(**ALWAYS), set()
    for seed in range(20):
        np.random.seed(seed)
        results = transform(image())
        assert said(results) == {0: ['a man'], 1: ['two dogs']}
        ((start, stop),) = results['true_spans']
        assert results['text'][start:stop] == CAPTION
        starts.add(start)
        for other in OTHERS:
            assert results['text'].count(other) <= 1
    assert len(starts) > 3
    assert 0 in starts


def test_captions_are_set_apart_by_full_stops():
    np.random.seed(0)
    text = packer(**ALWAYS)(image())['text']
    parts = sorted(part.strip() for part in text.split('.') if part.strip())
    assert parts == sorted([CAPTION, *(o.strip('.') for o in OTHERS)])
    assert '..' not in text


def test_the_boxes_of_a_packed_caption_have_their_own_tokens_only():
    tokenizer = tokenizer_of()
    for seed in range(10):
        np.random.seed(seed)
        results = packer(**ALWAYS)(image())
        (one,) = ground(
            results['text'],
            tokenizer,
            tokens_positive=results['tokens_positive'],
        )
        rows = positive_map(one, tokenizer, results['gt_bboxes_labels'])
        assert rows.sum(1).tolist() == [2, 3, 3]  # 'dogs' is dog ##s


def test_packing_happens_as_often_as_said():
    def packed(**kwargs):
        np.random.seed(0)
        transform = packer(**kwargs)
        return sum(transform(image())['text'] != CAPTION for _ in range(200))

    assert packed(no_pack_prob=1.0) == 0
    assert packed(no_pack_prob=0.0) == 200
    assert 90 < packed() < 150


@pytest.mark.parametrize('max_tokens', [11, 12, 13, 16, 20])
def test_other_captions_never_push_the_own_one_out(max_tokens):
    for seed in range(10):
        np.random.seed(seed)
        results = packer(max_tokens, **ALWAYS)(image())
        tokenizer_of(max_tokens).encode(results['text'])
        assert said(results) == {0: ['a man'], 1: ['two dogs']}


def test_a_caption_too_long_loses_phrases_with_their_boxes():
    results = packer(6, captions=None)(image())
    assert results['text'] == 'a man walks two'
    assert said(results) == {0: ['a man']}
    assert results['gt_bboxes_labels'].tolist() == [0]
    assert results['gt_bboxes'].tolist() == [[0, 1, 2, 3]]


def test_a_phrase_of_two_spans_keeps_the_one_that_is_left():
    phrases = {0: dict(tokens_positive=[[0, 5], [12, 20]])}
    results = packer(6, captions=None)(image([0], phrases=phrases))
    assert said(results) == {0: ['a man']}
    assert len(results['gt_bboxes']) == 1


def test_captions_that_say_an_own_phrase_are_no_negatives():
    others = ['the man plays', 'Two Dogs and a bus', 'a hotdog', 'a mans cup']
    for seed in range(20):
        np.random.seed(seed)
        text = packer(captions=others, **ALWAYS)(image())['text']
        assert 'man plays' not in text
        assert 'Dogs' not in text
        assert text != CAPTION


def test_the_same_caption_twice_is_no_negative_of_itself():
    results = packer(captions=[CAPTION], **ALWAYS)(
        image(phrases={}, labels=[])
    )
    assert results['text'] == CAPTION


def test_captions_are_read_from_odvg_files(tmp_path):
    path = tmp_path / 'a.jsonl'
    lines = [dict(grounding=dict(caption=f'a cup {k}')) for k in range(10)]
    lines.append(dict(detection={}))
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n\n')
    pool = packer(captions=[str(path), 'a bus']).pool
    assert pool == [f'a cup {k}' for k in range(10)] + ['a bus']
    thin = packer(captions=str(path), pool_size=4).pool
    assert thin == ['a cup 0', 'a cup 3', 'a cup 6', 'a cup 9']


def test_no_boxes_and_an_empty_caption():
    empty = image([], text='', phrases={})
    results = packer(captions=None)(dict(empty))
    assert (results['text'], results['tokens_positive']) == ('', {})
    np.random.seed(0)
    packed = packer(**ALWAYS)(dict(empty))
    assert packed['text']
    assert packed['true_spans'] == []
    assert packer(captions=None)(image([]))['text'] == CAPTION


def test_overlapping_spans_both_stay():
    phrases = {
        0: dict(tokens_positive=[[12, 20]]),
        1: dict(tokens_positive=[16, 20]),
    }
    results = packer(captions=None)(image([0, 1], phrases=phrases))
    assert said(results) == {0: ['two dogs'], 1: ['dogs']}


@pytest.mark.parametrize('span', [[0, 99], [5, 5], [-3, 2]])
def test_a_phrase_outside_the_caption_is_told_with_the_image(span):
    phrases = {0: dict(tokens_positive=[span])}
    with pytest.raises(ValueError, match=r'x\.png: phrase 0 stands at'):
        packer()(image([0], phrases=phrases))


def test_a_box_without_phrase_and_names_for_a_caption_are_told():
    with pytest.raises(KeyError, match=r'x\.png.*labels \[5\]'):
        packer()(image([5]))
    with pytest.raises(TypeError, match='text is list'):
        packer()(image(text=['a', 'b']))


def test_images_with_classes_pass():
    results = dict(text=['a', 'b'], gt_bboxes_labels=np.array([0]))
    assert packer()(dict(results)) == results


def unboxed(mode, spans, captions=None, max_tokens=256):
    """Pack ``CAPTION`` whose 'two dogs' has a box, other spans have none."""
    transform = packer(max_tokens, captions, unboxed=mode, **ALWAYS)
    return transform(image([1], phrases={1: PHRASES[1]}, unboxed=spans))


def test_phrases_without_box_are_ignored_where_that_is_asked():
    for seed in range(5):
        np.random.seed(seed)
        results = unboxed('ignore', [[[0, 5]], [28, 34]], OTHERS)
        words = [results['text'][a:b] for a, b in results['tokens_ignored']]
        assert words == ['a man', 'street']
        assert said(results) == {1: ['two dogs']}


def test_phrases_without_box_are_negatives_by_default():
    assert unboxed('negative', [[[0, 5]]])['tokens_ignored'] == []
    assert packer()(image())['tokens_ignored'] == []
    with pytest.raises(ValueError, match="unboxed='drop': expected one of"):
        packer(unboxed='drop')


def test_ignored_phrases_are_packed_as_negatives_never():
    assert 'man' in unboxed('negative', [], ['a man plays'])['text'][34:]
    assert unboxed('ignore', [[[0, 5]]], ['a man plays'])['text'] == CAPTION


def test_ignored_phrases_behind_a_cut_are_lost_and_wrong_ones_told():
    results = unboxed('ignore', [[[0, 5]], [[28, 34]]], max_tokens=9)
    assert results['tokens_ignored'] == [[0, 5]]
    with pytest.raises(ValueError, match=r'x\.png: phrase 0 stands at'):
        unboxed('ignore', [[[0, 99]]])
