import numpy as np
import pytest

from mmclip.evaluation.curves import Curves, mean_valid, summary


def curves():
    """Two categories; the second has no object, so all of it is -1."""
    precision = np.full((10, 101, 2, 4), -1.0)
    precision[:, :, 0] = 0.25
    precision[0, :, 0, 0] = 0.75  # IoU .5
    precision[:, :, 0, 3] = -1  # no large object
    recall = np.full((10, 2, 4, 2), -1.0)
    recall[:, 0, :, 0], recall[:, 0, :, 1] = 0.1, 0.6
    return Curves(precision, recall)


def test_the_figures_are_coco_s_averages():
    found = summary(curves(), (1, 100))
    assert found['AP'] == pytest.approx(0.3)
    assert found['AP50'] == 0.75
    assert found['AP75'] == found['APs'] == 0.25
    assert found['APl'] == -1
    assert found['AR@1'] == pytest.approx(0.1)
    assert found['AR@100'] == found['ARm@100'] == pytest.approx(0.6)
    assert len(found) == 11


def test_a_group_without_objects_is_minus_one():
    assert summary(curves(), (1, 100), [1])['AP'] == -1
    assert summary(curves(), (1, 100), [])['AR@100'] == -1


def test_each_category_has_its_precision():
    assert curves().precision_of_categories('50').tolist() == [0.75, -1]


def test_the_mean_leaves_out_what_is_not_there():
    assert mean_valid(np.array([0.25, -1, 0.75])) == 0.5
    assert mean_valid(np.array([-1.0])) == -1
