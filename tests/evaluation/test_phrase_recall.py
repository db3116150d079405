import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.logging import MMLogger

from mmclip.evaluation.phrase_recall import merged, read_sentences
from mmclip.registry import METRICS

RIGHT, OTHER, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]


def sample(truth, found, **kwargs):
    """Return a sample; each box comes with its phrase (and score)."""
    boxes, phrases = zip(*truth) if truth else ((), ())
    got, labels, scores = zip(*found) if found else ((), (), ())
    return (
        dict(
            phrases=kwargs.pop('phrases', ['a', 'b', 'c']),
            phrase_ids=list(phrases),
            gt_instances=dict(bboxes=torch.tensor(boxes).reshape(-1, 4)),
            pred_instances=dict(
                bboxes=torch.tensor(got).reshape(-1, 4).float(),
                labels=torch.tensor(labels, dtype=torch.long),
                scores=torch.tensor(scores),
            ),
        )
        | kwargs
    )


def figures(*samples, **kwargs):
    metric = METRICS.build(dict(type='mmclip.Flickr30kRecall', **kwargs))
    MMLogger.get_instance('phrase_recall')
    for one in samples:
        metric.process({}, [one])
    found = metric.evaluate(len(samples))
    return {k.removeprefix('flickr30k/'): v for k, v in found.items()}


def test_the_rank_of_the_first_right_box_counts():
    one = sample(
        [(RIGHT, 0), (OTHER, 1)],
        [(FAR, 0, 0.9), (RIGHT, 0, 0.8), (OTHER, 1, 0.1)],
    )
    found = figures(one)
    assert found == {'R@1': 0.5, 'R@5': 1.0, 'R@10': 1.0, 'R@all': 1.0}


def test_detections_are_put_in_order_first():
    one = sample([(RIGHT, 0)], [(FAR, 0, 0.2), (RIGHT, 0, 0.8)])
    assert figures(one, topk=(1,)) == {'R@1': 1.0}


def test_the_box_of_another_phrase_is_wrong():
    one = sample([(RIGHT, 0)], [(RIGHT, 1, 0.9)])
    assert figures(one)['R@all'] == 0


def test_any_box_of_a_phrase_will_do_unless_they_are_merged():
    truth = [(RIGHT, 0), (OTHER, 0)]
    single = sample(truth, [(OTHER, 0, 0.9)])
    around = sample(truth, [([0, 0, 30, 10], 0, 0.9)])
    assert figures(single)['R@1'] == 1
    assert figures(around)['R@1'] == 0
    assert figures(single, merge_boxes=True)['R@1'] == 0
    assert figures(around, merge_boxes=True)['R@1'] == 1
    assert merged(np.array([RIGHT, OTHER])).tolist() == [[0, 0, 30, 10]]


def test_no_detection_is_a_miss_and_no_box_counts_nothing():
    nothing = sample([(RIGHT, 0)], [])
    empty = sample([], [(RIGHT, 0, 0.9)])
    assert figures(nothing, empty)['R@all'] == 0
    assert figures(empty)['R@1'] == -1


def test_each_type_has_its_own_figures():
    types = [['people'], ['animals', 'other'], []]
    one = sample(
        [(RIGHT, 0), (OTHER, 1)], [(RIGHT, 0, 0.9)], phrase_types=types
    )
    found = figures(one, topk=(1,))
    assert found == {
        'R@1': 0.5,
        'people_R@1': 1.0,
        'animals_R@1': 0.0,
        'other_R@1': 0.0,
    }


def test_types_are_read_from_the_sentences_of_the_data_set(tmp_path):
    (tmp_path / '7.txt').write_text(
        '[/EN#1/people A man] walks [/EN#2/animals two dogs] .\n'
        '[/EN#1/people/other A man] and [/EN#3/people a man] .\n'
    )
    one = sample(
        [(RIGHT, 0), (OTHER, 1)],
        [(RIGHT, 0, 0.9)],
        img_path='images/7.jpg',
        text='a man walks two dogs.',
        phrases=['a man', 'dogs'],
        tokens_positive=[[[0, 5]], [[16, 20]]],
    )
    found = figures(one, topk=(1,), sentences=str(tmp_path))
    assert found == {'R@1': 0.5, 'people_R@1': 1.0}
    one['phrases'][1] = 'two dogs'
    found = figures(one, topk=(1,), sentences=str(tmp_path))
    assert found['animals_R@1'] == 0
    with pytest.raises(ValueError, match='not among the 2'):
        figures(one | dict(text='a cat'), sentences=str(tmp_path))
    plain, phrases = read_sentences(str(tmp_path / '7.txt'))[1]
    assert plain == 'A man and a man .'
    assert phrases[10] == ('a man', ['people'])


def test_boxes_of_mmdet_and_several_samples_are_read():
    one = sample([(RIGHT, 0)], [(RIGHT, 0, 0.9)])
    boxes = HorizontalBoxes(one['gt_instances']['bboxes'].float())
    one['gt_instances']['bboxes'] = boxes
    other = sample([(RIGHT, 0), (FAR, 1), (OTHER, 2)], [])
    assert figures(one, other)['R@1'] == 0.25


def test_labels_number_the_phrases_of_odvg_data():
    one = sample([(RIGHT, 1)], [(RIGHT, 1, 0.9)])
    one['gt_instances']['labels'] = torch.tensor(one.pop('phrase_ids'))
    assert figures(one)['R@1'] == 1


def test_faults_are_told():
    with pytest.raises(ValueError, match='as many phrase_ids, got 0'):
        figures(sample([(RIGHT, 0)], []) | dict(phrase_ids=[]))
    with pytest.raises(ValueError, match='positive numbers'):
        figures(topk=(0,))
