import math

import pytest

from mmclip.evaluation import CaptionScores
from mmclip.evaluation.caption_scores import bleu, cider, words_of


def words(*texts):
    return [words_of(text) for text in texts]


def test_words_are_lower_case_without_signs():
    assert words_of("A dog's red, hot bus.") == [
        'a',
        "dog's",
        'red',
        'hot',
        'bus',
    ]


def test_bleu_clips_what_is_said_too_often():
    """The example of Papineni et al.: "the" seven times has 2/7."""
    said = words('the the the the the the the')
    true = [words('the cat is on the mat', 'there is a cat on the mat')]
    assert bleu(said, true, 1) == pytest.approx(2 / 7)
    assert bleu(said, true) == 0


def test_short_captions_are_punished():
    said, true = words('a cat'), [words('a cat on the mat')]
    assert bleu(said, true, 1) == pytest.approx(math.exp(1 - 5 / 2))
    assert bleu(said, true, 2) == pytest.approx(math.exp(1 - 5 / 2))


def test_the_nearest_reference_sets_the_length():
    said = words('a cat on the mat')
    true = [words('a cat on the mat sat', 'cat', 'a cat on the mat here now')]
    assert bleu(said, true, 1) == pytest.approx(math.exp(1 - 6 / 5))


def metric_of(pairs, **options):
    metric = CaptionScores(**options)
    samples = [dict(pred_caption=s, gt_caption=t) for s, t in pairs]
    metric.process(None, samples)
    return metric.compute_metrics(metric.results)


SAID = ['a red ring and a star', 'the man walks dogs', 'blue bus', 'a cat']
TRUE = [
    ['a red ring and a blue star', 'a ring and a star'],
    ['a man walks two dogs', 'the man walks his dog'],
    ['a blue bus on the street'],
    ['a cat', 'the cat sleeps'],
]
# of pycocoevalcap 1.2 (Bleu, Cider), the same words
PUBLISHED = dict(
    Bleu_1=0.7514772929679324,
    Bleu_2=0.7129139566927059,
    Bleu_3=0.682762432020713,
    Bleu_4=0.6507984260281934,
    CIDEr=3.9306057134746215,
)


@pytest.mark.parametrize('name', PUBLISHED)
def test_scores_are_those_of_coco_caption(name):
    found = metric_of(zip(SAID, TRUE))
    assert found[name] == pytest.approx(PUBLISHED[name], abs=1e-6)


def test_the_truth_is_best():
    first = [(true[0], true[:1]) for true in TRUE]
    found = metric_of(first)
    assert found['Bleu_2'] == pytest.approx(1)
    said = [words_of(text) for text, _ in first[:3]]
    assert cider(said, [[own] for own in said]) == pytest.approx(10)


def test_a_sentence_for_all_images_is_there_to_compare():
    found = metric_of(zip(SAID, TRUE), candidates=4)
    each = [
        metric_of([(own[0], true) for true in TRUE])['CIDEr'] for own in TRUE
    ]
    assert found['constant_CIDEr'] == pytest.approx(max(each))
    assert found['constant_CIDEr'] < found['CIDEr']


def test_nothing_said_is_worth_nothing():
    found = metric_of([('', ['a cat']), ('', ['a dog'])])
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize('key', ['pred_caption', 'gt_caption'])
def test_an_image_without_caption_is_an_error(key):
    sample = dict(pred_caption='a', gt_caption=['a'])
    del sample[key]
    with pytest.raises(KeyError, match=f'no {key}'):
        CaptionScores().process(None, [sample])
