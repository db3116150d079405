from itertools import combinations

import pytest
from mmpretrain.evaluation.metrics.vqa import VQAAcc

from mmclip.evaluation import VQAAccuracy
from mmclip.evaluation.vqa_accuracy import normal, scores_of


def figures(*samples):
    metric = VQAAccuracy()
    metric.process(None, [dict(sample) for sample in samples])
    return metric.compute_metrics(metric.results)


def asked(said, true, kind='', **more):
    return dict(pred_answer=said, gt_answer=true, question_type=kind, **more)


@pytest.mark.parametrize('agree', range(11))
def test_the_score_is_the_mean_over_leaving_one_annotator_out(agree):
    given = ['red'] * agree + ['blue'] * (10 - agree)
    nines = list(combinations(given, 9))
    wanted = sum(min(1, nine.count('red') / 3) for nine in nines) / 10
    assert scores_of(given).get('red', 0) == pytest.approx(wanted)


def test_one_annotator_is_right_or_not():
    found = figures(asked('red', 'red'), asked('blue', ['red']))
    assert found['accuracy'] == 0.5


def test_weights_are_shares_of_ten_annotators():
    given = ['red'] * 2 + ['blue'] * 8
    weighed = asked('red', ['red', 'blue'], gt_answer_weight=[0.2, 0.8])
    assert (
        figures(weighed)['accuracy']
        == figures(asked('red', given))['accuracy']
        == pytest.approx(0.6)
    )


def test_models_that_do_not_look_are_there_to_compare():
    found = figures(
        *[asked('yes', 'yes', 'is')] * 2,
        asked('red', 'no', 'is'),
        asked('red', 'red', 'colour'),
        asked('red', 'blue', 'colour'),
    )
    assert found['accuracy'] == pytest.approx(3 / 5)
    assert found['is'] == pytest.approx(2 / 3)
    assert found['colour'] == pytest.approx(1 / 2)
    assert found['constant'] == pytest.approx(2 / 5)  # 'yes'
    assert found['constant_by_type'] == pytest.approx(3 / 5)


ANSWERS = [
    'A red  Circle.',
    'two',
    'None',
    '1,000',
    'the well-known, one',
    '3.5 cm',
    'yes/no',
    'it is (not) there!',
]


@pytest.mark.parametrize('answer', ANSWERS)
def test_answers_are_written_as_mmpretrain_writes_them(answer):
    assert normal(answer) == VQAAcc()._process_answer(answer)


@pytest.mark.parametrize('key', ['pred_answer', 'gt_answer'])
def test_a_question_without_an_answer_is_an_error(key):
    sample = asked('red', 'red')
    del sample[key]
    with pytest.raises(KeyError, match=f'no {key}'):
        figures(sample)


def test_types_may_be_called_otherwise():
    metric = VQAAccuracy(by='answer_type')
    metric.process(None, [asked('2', '2', 'how', answer_type='number')])
    assert metric.compute_metrics(metric.results)['number'] == 1.0
