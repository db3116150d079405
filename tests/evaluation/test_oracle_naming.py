import numpy as np

from mmclip.evaluation.oracle_naming import name_by_truth


def test_a_group_is_called_what_most_of_its_pixels_are():
    groups = np.array([[0, 0, 0, 4], [2, 2, 4, 4]])
    truth = np.array([[7, 7, 3, 3], [5, 3, 3, 0]], np.uint8)
    found = name_by_truth(groups, truth)
    assert found.tolist() == [[7, 7, 7, 3], [3, 3, 3, 3]]


def test_right_groups_give_the_truth():
    truth = np.random.default_rng(0).integers(0, 9, (12, 10))
    assert (name_by_truth(truth, truth) == truth).all()


def test_ignored_pixels_have_no_vote():
    groups = np.array([[0, 0, 0, 1]])
    truth = np.array([[255, 255, 6, 255]], np.uint8)
    assert name_by_truth(groups, truth).tolist() == [[6, 6, 6, 255]]
    ignored = np.full((1, 4), 255, np.uint8)
    assert (name_by_truth(groups, ignored) == 255).all()
