import copy

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmclip.glip.grounding import ground
from mmclip.glip.token_maps import positive_map
from mmclip.registry import TRANSFORMS
from tests.glip.words import tokenizer_of

NAMES = ['person', 'traffic_light', 'cup', 'bus', 'bird']


def image(labels, text=None):
    count = len(labels)
    boxes = torch.arange(4.0 * count).reshape(count, 4)
    return dict(
        img_path='x.png',
        text=copy.deepcopy(NAMES if text is None else text),
        gt_bboxes=HorizontalBoxes(boxes, in_mode='xyxy'),
        gt_bboxes_labels=np.array(labels, np.int64),
        gt_ignore_flags=np.arange(count) % 2 == 1,
        gt_masks=BitmapMasks(np.zeros((count, 4, 4), np.uint8), 4, 4),
    )


def sampler(max_tokens=256, **kwargs):
    return TRANSFORMS.build(
        dict(
            type='mmclip.SampleNegativeClasses',
            tokenizer=tokenizer_of(max_tokens),
            **kwargs,
        )
    )


def said(results):
    """Return what the caption calls each box."""
    spans = results['tokens_positive']
    return [
        results['text'][spans[k][0][0] : spans[k][0][1]]
        for k in results['gt_bboxes_labels'].tolist()
    ]


@pytest.mark.parametrize(
    'text',
    [NAMES, tuple(NAMES), dict(enumerate(NAMES))]
    + [{str(k): name for k, name in enumerate(NAMES)}],
    ids=['list', 'tuple', 'int keys', 'str keys'],
)
@pytest.mark.parametrize('full_prob', [0.0, 1.0])
def test_no_positive_is_drawn_again_as_a_negative(text, full_prob):
    transform = sampler(full_prob=full_prob)
    for seed in range(20):
        np.random.seed(seed)
        results = transform(image([1, 0, 1], text))
        names = results['text'].split('. ')
        assert len(set(names)) == len(names)
        assert said(results) == ['traffic light', 'person', 'traffic light']
        assert len(names) == 5 if full_prob else 3 <= len(names) <= 5
        spans = results['true_spans']
        positive = {results['text'][a:b] for a, b in spans}
        assert positive == {'traffic light', 'person'}


def test_the_names_given_are_not_changed():
    names = {'0': 'cup/bus', '1': 'dog'}
    results = image([0], names)
    before = copy.deepcopy(results['text'])
    ways = set()
    for seed in range(20):
        np.random.seed(seed)
        shared = results['text']
        ways |= set(said(sampler()(dict(results))))
        assert shared == before
    assert ways == {'cup', 'bus'}


def test_the_order_and_the_number_of_negatives_vary():
    transform, orders = sampler(full_prob=0.5), set()
    for seed in range(30):
        np.random.seed(seed)
        orders.add(transform(image([2]))['text'])
    assert len(orders) > 15
    assert {text.count('. ') for text in orders} == {1, 2, 3, 4}


def test_at_most_so_many_negatives_are_taken():
    for seed in range(10):
        np.random.seed(seed)
        text = sampler(num_negatives=2, full_prob=1.0)(image([2]))['text']
        assert text.count('. ') == 2


@pytest.mark.parametrize('max_tokens', [6, 7, 8, 9, 10])
def test_the_caption_fits_and_positives_stay_when_they_do(max_tokens):
    tokenizer = tokenizer_of(max_tokens)
    transform = sampler(max_tokens, full_prob=1.0)
    for seed in range(20):
        np.random.seed(seed)
        results = transform(image([1, 3]))  # 2 + 1 tokens, one separator
        tokenizer.encode(results['text'])  # raises where it does not fit
        assert said(results) == ['traffic light', 'bus']


def test_positives_that_do_not_fit_go_with_all_that_is_theirs():
    seen = set()
    for seed in range(30):
        np.random.seed(seed)
        results = sampler(5)(image([1, 3, 1, 0]))
        kept = said(results)
        seen.add(tuple(kept))
        sizes = {
            len(results[key])
            for key in ('gt_bboxes', 'gt_masks', 'gt_ignore_flags')
        }
        assert sizes == {len(kept)}
        rows = results['gt_bboxes'].tensor[:, 0] / 4
        expected = dict(zip(range(4), ['traffic light', 'bus'] * 2))
        expected[2], expected[3] = 'traffic light', 'person'
        assert [expected[int(row)] for row in rows] == kept
    assert seen == {
        ('traffic light', 'traffic light'),
        ('bus', 'person'),
    }


def test_a_class_too_long_for_any_caption_is_left_out():
    results = sampler(4)(image([0, 1], ['the red hot cup', 'bus']))
    assert results['text'] == 'bus'
    assert said(results) == ['bus']


def test_an_image_without_boxes_has_negatives_only():
    results = sampler()(image([]))
    assert results['text']
    assert results['gt_bboxes_labels'].shape == (0,)
    assert results['true_spans'] == []


def test_one_class_alone():
    results = sampler()(image([0, 0], ['cup']))
    assert results['text'] == 'cup'
    assert said(results) == ['cup', 'cup']


def test_objects365_fits_into_a_caption_of_256_tokens():
    names = [f'{a} {b}' for a in NAMES for b in ('dogs', 'cat')] * 40
    for seed in range(5):
        np.random.seed(seed)
        results = sampler(full_prob=1.0)(image([7, 399], names))
        length = len(tokenizer_of().encode(results['text']).ids)
        assert 200 < length <= 256
        assert len(results['row_names']) > 40


def test_the_caption_gives_every_box_its_own_tokens():
    tokenizer = tokenizer_of()
    results = sampler(full_prob=1.0)(image([3, 1]))
    (one,) = ground(
        results['text'], tokenizer, tokens_positive=results['tokens_positive']
    )
    rows = positive_map(one, tokenizer, results['gt_bboxes_labels'])
    assert rows.sum(1).tolist() == [1, 2]
    ids = torch.tensor(tokenizer.encode(results['text']).ids)
    words = {i: w for w, i in tokenizer.vocab.items()}
    read = [[words[i] for i in ids[row].tolist()] for row in rows]
    assert read == [['bus'], ['traffic', 'light']]
    assert one.names == [
        name.replace('_', ' ') for name in results['row_names']
    ]


def test_text_that_is_no_list_and_labels_without_name_are_told():
    with pytest.raises(TypeError, match=r'x\.png.*return_classes=True'):
        sampler()(image([0], 'a dog'))
    with pytest.raises(KeyError, match=r'labels \[7\].*names 5'):
        sampler()(image([0, 7]))


def test_images_with_phrases_pass():
    results = image([0], 'a dog') | dict(phrases={})
    assert sampler()(results)['text'] == 'a dog'
