import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from pycocotools.mask import encode

from mmclip.registry import METRICS


def mask(*columns):
    """Return (1, 4) with some of its pixels set."""
    row = np.zeros((1, 4), np.uint8)
    row[:, list(columns)] = 1
    return row


def instances(*triples):
    """Return masks of ``(columns, phrase, score)``."""
    masks = [mask(*columns) for columns, *_ in triples]
    return dict(
        masks=torch.from_numpy(np.stack(masks or [mask()])[: len(masks)]),
        labels=torch.tensor([t[1] for t in triples], dtype=torch.long),
        scores=torch.tensor([t[2] for t in triples]),
    )


def figures(*samples, **kwargs):
    metric = METRICS.build(dict(type='mmclip.PhraseCutIoU', **kwargs))
    for truth, found in samples:
        metric.process({}, [dict(gt_instances=truth, pred_instances=found)])
    found = metric.evaluate(len(samples))
    return {k.removeprefix('phrasecut/'): v for k, v in found.items()}


def test_masks_of_a_phrase_are_joined_on_both_sides():
    truth = instances(([0], 0, 1), ([1, 2], 0, 1), ([3], 1, 1))
    found = instances(([0, 1], 0, 0.9), ([2], 0, 0.6), ([2, 3], 1, 0.9))
    expected = {'mIoU': 0.75, 'cIoU': 0.8, 'P@0.5': 1.0}
    assert figures((truth, found)) == expected | {'P@0.7': 0.5, 'P@0.9': 0.5}


def test_only_sure_masks_count_else_the_best():
    truth = instances(([0], 0, 1))
    found = instances(([1], 0, 0.3), ([0], 0, 0.4))
    assert figures((truth, found))['mIoU'] == 1
    assert figures((truth, found), best_if_none=False)['mIoU'] == 0
    assert figures((truth, found), score_thr=0.2)['mIoU'] == 0.5


def test_nothing_detected_is_zero_and_no_phrase_counts_nothing():
    truth = instances(([0, 1], 0, 1))
    assert figures((truth, instances()))['mIoU'] == 0
    assert figures((truth, instances(([0, 1], 1, 0.9))))['cIoU'] == 0
    assert figures((instances(), instances(([0], 0, 0.9))))['mIoU'] == -1


def test_mmdets_masks_and_run_lengths_are_read():
    truth = instances(([0, 1], 0, 1))
    truth['masks'] = BitmapMasks(truth['masks'].numpy(), 1, 4)
    found = instances(([0], 0, 0.9))
    found['masks'] = [encode(np.asfortranarray(mask(0)))]
    several = [(truth, found)] * 3
    assert figures(*several)['mIoU'] == 0.5


def test_masks_of_other_sizes_and_none_are_told():
    truth = instances(([0], 0, 1))
    found = instances(([0], 0, 0.9))
    found['masks'] = torch.ones(1, 2, 4)
    with pytest.raises(ValueError, match='original size'):
        figures((truth, found))
    del found['masks']
    with pytest.raises(ValueError, match='mask head'):
        figures((truth, found))
