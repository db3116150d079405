import pytest
from mmengine.evaluator import Evaluator

from mmclip.evaluation import OfTask

ASKED = dict(
    task='vqa', pred_answer='red', gt_answer='red', question_type='colour'
)
TOLD = dict(task='caption', pred_caption='a cat', gt_caption=['a cat'])


def evaluator():
    return Evaluator(
        [
            dict(
                type='mmclip.OfTask',
                task='vqa',
                metric=dict(type='mmclip.VQAAccuracy'),
            ),
            dict(
                type='mmclip.OfTask',
                task='caption',
                metric=dict(type='mmclip.CaptionScores', prefix='told'),
            ),
        ]
    )


def test_every_metric_sees_its_own_samples():
    measure = evaluator()
    measure.dataset_meta = dict(classes=('cat',))
    measure.process([TOLD, ASKED])
    measure.process([dict(ASKED, pred_answer='blue'), dict(task='other')])
    figures = measure.evaluate(4)
    assert figures['vqa/accuracy'] == 0.5
    assert figures['told/Bleu_1'] == 1.0
    inner = measure.metrics[0].metric
    assert inner.dataset_meta == dict(classes=('cat',))


def test_samples_of_other_tasks_hold_their_places():
    metric = OfTask('vqa', dict(type='mmclip.VQAAccuracy'))
    metric.process(None, [TOLD, ASKED, TOLD])
    assert [len(entry) for entry in metric.results] == [0, 1, 0]


def test_a_task_that_no_sample_has_is_an_error():
    measure = evaluator()
    measure.process([ASKED])
    with pytest.raises(ValueError, match="of 1 has the task 'caption'"):
        measure.evaluate(1)
