import logging
import sys

import numpy as np
import pytest
from mmengine.logging import MMLogger

from mmclip.evaluation.backends import (
    LVISAPI,
    Hotcoco,
    Pycocotools,
    choose_backend,
    import_lvis,
    mended,
)
from mmclip.evaluation.detections import Detections

TRUTH = dict(
    licenses=None,  # as mmdet writes it
    images=[
        dict(
            id=i,
            height=99,
            width=99,
            neg_category_ids=[5],
            not_exhaustive_category_ids=[],
        )
        for i in (1, 2)
    ],
    categories=[dict(id=i, name=str(i), frequency='f') for i in (3, 5, 9)],
    annotations=[
        dict(
            id=i + 1,
            image_id=i + 1,
            category_id=3,
            bbox=[10, 10, 40, 40],
            area=1600,
            segmentation=[[10, 10, 50, 10, 50, 50, 10, 50]],
        )
        for i in range(2)
    ],
)
FOUND = Detections.from_records(
    [
        dict(image_id=1, category_id=3, score=0.9, bbox=[10, 10, 40, 40]),
        dict(image_id=1, category_id=5, score=0.8, bbox=[10, 10, 40, 40]),
        dict(image_id=2, category_id=3, score=0.7, bbox=[0, 0, 40, 40]),
    ]
)
NOTHING = Detections.from_records([])


def both(protocol, found, *arguments, iou_type='bbox'):
    """The curves of hotcoco and of the reference."""
    slow = {'coco': Pycocotools, 'lvis': LVISAPI}[protocol]
    curves = []
    for backend in (Hotcoco(), slow()):
        truth = backend.open(TRUTH)
        run = getattr(backend, protocol)
        curves.append(run(truth, found, iou_type, *arguments))
    return curves


@pytest.mark.parametrize('found', [FOUND, NOTHING])
@pytest.mark.parametrize(
    ('protocol', 'arguments'),
    [
        ('coco', ([5, 3], [1, 10])),
        ('lvis', (300,)),
        ('lvis', (1,)),
        ('lvis', (None,)),
    ],
)
def test_hotcoco_equals_the_reference(protocol, arguments, found):
    ours, theirs = both(protocol, found, *arguments)
    assert np.array_equal(ours.precision, theirs.precision)
    assert np.array_equal(ours.recall, theirs.recall)


@pytest.mark.parametrize(
    ('protocol', 'arguments'), [('coco', ([3], [100])), ('lvis', (300,))]
)
def test_masks_found_nowhere_are_counted_as_misses(protocol, arguments):
    for curves in both(protocol, NOTHING, *arguments, iou_type='segm'):
        assert curves.average_precision([0]) == 0
        assert curves.average_recall([0]) == 0


def test_the_limit_of_lvis_is_of_an_image_over_all_classes():
    ours, theirs = both('lvis', FOUND, 1)
    assert ours.average_precision() == theirs.average_precision() > 0
    wide, _ = both('lvis', FOUND, None)
    worse = Detections.from_records(
        [
            dict(image_id=1, category_id=5, score=1, bbox=[0, 0, 1, 1]),
            *FOUND.records('bbox'),
        ]
    )
    assert both('lvis', worse, 1)[0].average_precision() == 0
    assert both('lvis', worse, None)[0].average_precision() == (
        wide.average_precision()
    )


def test_lvis_api_is_mended_in_a_copy_alone():
    stock = import_lvis().LVISEval
    assert mended(stock).accumulate is not stock.accumulate
    assert 'float' not in vars(stock.accumulate.__globals__['np'])
    assert 'float' not in vars(np)


def test_importing_lvis_api_leaves_the_root_logger(monkeypatch):
    for name in [n for n in sys.modules if n.partition('.')[0] == 'lvis']:
        monkeypatch.delitem(sys.modules, name)
    root = logging.getLogger()
    monkeypatch.setattr(root, 'handlers', [])
    import_lvis()
    assert root.handlers == []


def test_hotcoco_is_chosen_where_it_is():
    assert isinstance(choose_backend('auto', 'lvis'), Hotcoco)
    assert isinstance(choose_backend('lvis', 'lvis'), LVISAPI)


@pytest.mark.parametrize(
    ('reference', 'kind'), [('lvis', LVISAPI), ('pycocotools', Pycocotools)]
)
def test_without_hotcoco_the_reference_says_that_it_is_slow(
    reference, kind, monkeypatch
):
    said = []
    monkeypatch.setitem(sys.modules, 'hotcoco', None)
    monkeypatch.setattr(
        MMLogger.get_current_instance(), 'warning', said.append
    )
    assert isinstance(choose_backend('auto', reference), kind)
    assert f'{reference} evaluates' in said[0]
    assert 'mmclip[lvis]' in said[0]
    with pytest.raises(ModuleNotFoundError, match=r'mmclip\[lvis\]'):
        choose_backend('hotcoco', reference)


def test_without_any_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'hotcoco', None)
    monkeypatch.setitem(sys.modules, 'lvis', None)
    with pytest.raises(ModuleNotFoundError, match=r'mmclip\[lvis\]'):
        choose_backend('auto', 'lvis')


def test_another_backend_is_an_error():
    with pytest.raises(ValueError, match="'lvis'"):
        choose_backend('pycocotools', 'lvis')
