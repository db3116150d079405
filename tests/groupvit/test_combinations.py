import pytest
import torch
import torch.nn.functional as F

from mmclip.clip.windows import join_windows, windows_of
from mmclip.groupvit.combinations import (
    best_names,
    combine,
    meet,
    neighbours,
    renumber,
)
from mmclip.groupvit.segmentation import paint

SLIDE = dict(mode='slide', crop_size=(12, 12), stride=(6, 5))
DENSE = dict(mode='slide', crop_size=(8, 8), stride=(1, 1))
WHOLE = dict(mode='whole')


def an_image(test_cfg, size, groups=3, names=7):
    """Groups of every window, blotches of them, and their scores."""
    torch.manual_seed(0)
    windows = windows_of(size, test_cfg)
    labels, tables = [], []
    for window in windows:
        shape = torch.empty(1, 1, *size)[window].shape[2:]
        coarse = torch.rand(1, groups, 3, 4)
        labels.append(F.interpolate(coarse, shape, mode='bilinear')[0])
        tables.append(torch.randn(groups, names))
    return windows, [one.argmax(dim=0) for one in labels], tables


def painted(windows, labels, tables, size):
    """The scores of all names at all pixels, as mmseg joins windows."""
    parts = [paint(t[None], one[None]) for t, one in zip(tables, labels)]
    image = torch.zeros(1, 3, *size)
    return join_windows(parts, windows, image, lambda scores, _: scores)[0]


@pytest.mark.parametrize('test_cfg', [WHOLE, SLIDE, DENSE])
@pytest.mark.parametrize('size', [(12, 12), (20, 17), (9, 30)])
def test_combinations_hold_the_scores_that_windows_join_to(test_cfg, size):
    windows, labels, tables = an_image(test_cfg, size)
    codes, scores = combine(labels, tables, windows, size)
    wanted = painted(windows, labels, tables, size)
    torch.testing.assert_close(scores[codes].permute(2, 0, 1), wanted)
    assert len(scores) == 3 if len(windows) == 1 else len(codes.unique())


@pytest.mark.parametrize('test_cfg', [WHOLE, SLIDE])
@pytest.mark.parametrize('size', [(20, 17), (40, 51), (7, 90), (11, 9)])
def test_names_at_another_size_are_those_of_the_resized_scores(test_cfg, size):
    windows, labels, tables = an_image(test_cfg, (20, 17))
    codes, scores = combine(labels, tables, windows, (20, 17))
    maps = painted(windows, labels, tables, (20, 17))[None]
    wanted = F.interpolate(maps, size, mode='bilinear')[0].argmax(dim=0)
    assert wanted.unique().numel() > 1
    assert (best_names(codes, scores, size) == wanted).all()


def test_borders_are_done_in_parts(monkeypatch):
    windows, labels, tables = an_image(SLIDE, (20, 17))
    codes, scores = combine(labels, tables, windows, (20, 17))
    wanted = best_names(codes, scores, (40, 51))
    monkeypatch.setattr('mmclip.groupvit.combinations.AT_ONCE', 50)
    assert (best_names(codes, scores, (40, 51)) == wanted).all()


def test_between_two_groups_a_third_name_may_win():
    codes = torch.tensor([[0, 1]])
    scores = torch.tensor([[1.0, 0.0, 0.8], [0.0, 1.0, 0.8]])
    assert best_names(codes, scores, (1, 4)).tolist() == [[0, 2, 2, 1]]


def test_codes_that_do_not_occur_get_no_number():
    codes, used = renumber(torch.tensor([[5, 2], [2, 9]]), 12)
    assert codes.tolist() == [[1, 0], [0, 2]]
    assert used.tolist() == [2, 5, 9]


def test_groups_that_meet_have_the_mean_of_their_scores():
    labels = [torch.tensor([[0, 1, 1]]), torch.tensor([[2, 2, 0]])]
    tables = [torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [9], [6]])]
    codes, scores = meet(labels, tables)
    assert scores[codes][0, :, 0].tolist() == [3, 4, 3]


def test_neighbours_are_those_of_bilinear_resizing():
    values = torch.randn(1, 1, 5, 1)
    for after in (1, 3, 5, 8, 20):
        first, second, weight = neighbours(values[0, 0], 0, after)
        own = values[0, 0, :, 0]
        found = own[first] * (1 - weight) + own[second] * weight
        wanted = F.interpolate(values, (after, 1), mode='bilinear')
        torch.testing.assert_close(found, wanted[0, 0, :, 0])
