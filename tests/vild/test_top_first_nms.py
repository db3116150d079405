import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import nms

from mmclip.registry import TASK_UTILS
from mmclip.vild import TopFirstNMS, top_first_nms


def per_class(boxes, scores, score_thr, max_per_img, iou_threshold=0.5):
    """NMS of every class by itself, in float64: [(-score, region, label)]."""
    found = []
    for label in range(scores.shape[1]):
        column = scores[:, label]
        region = (column > score_thr).nonzero().squeeze(1)
        best = column[region].argsort(descending=True, stable=True)
        region = region[best]
        ranks = torch.arange(len(region), dtype=torch.float64)
        for i in region[nms(boxes[region].double(), -ranks, iou_threshold)]:
            found.append((-column[i].item(), i.item(), label))
    found.sort()
    return found[:max_per_img] if max_per_img > 0 else found


def listed(found):
    """The result of ours in the same form."""
    dets, labels, keep = (t.tolist() for t in found)
    return [(-d[4], i, label) for d, i, label in zip(dets, keep, labels)]


def random_image(seed, regions, names, ties=False, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 20, (regions, 2), generator=g)
    size = torch.randint(0, 15, (regions, 2), generator=g)  # some are empty
    boxes = torch.cat((corner, corner + size), dim=1).to(dtype)
    scores = torch.rand((regions, names), generator=g)
    if ties:
        scores = (5 * scores).floor() / 5  # zeros among them
    return boxes, scores.to(dtype)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    regions=st.integers(0, 40),
    names=st.integers(1, 8),
    ties=st.booleans(),
    score_thr=st.sampled_from([0.0, 1e-4, 0.3, 2.0]),
    max_per_img=st.sampled_from([1, 5, 20, 300, -1]),
    first=st.sampled_from([1, 7, 2000]),
)
def test_it_keeps_what_per_class_nms_keeps(
    seed, regions, names, ties, score_thr, max_per_img, first
):
    boxes, scores = random_image(seed, regions, names, ties)
    found = TopFirstNMS(first=first)(boxes, scores, score_thr, max_per_img)
    assert listed(found) == per_class(boxes, scores, score_thr, max_per_img)


@pytest.mark.parametrize('seed', range(3))
def test_class_after_class_is_the_same_where_pairs_are_too_many(
    seed, monkeypatch
):
    boxes, scores = random_image(seed, 60, 5, ties=True)
    monkeypatch.setattr(top_first_nms, 'MOST_PAIRS', 10)
    found = TopFirstNMS()(boxes, scores, 0.0, 40)
    assert listed(found) == per_class(boxes, scores, 0.0, 40)


def test_equal_scores_rank_by_region_then_by_label():
    boxes = torch.tensor([[0.0, 0, 9, 9], [50, 50, 59, 59]])
    dets, labels, keep = TopFirstNMS()(boxes, torch.full((2, 3), 0.5), 0.0, 5)
    assert keep.tolist() == [0, 0, 0, 1, 1]
    assert labels.tolist() == [0, 1, 2, 0, 1]
    assert dets.tolist()[3] == [50, 50, 59, 59, 0.5]


def test_of_duplicates_the_first_stays_in_each_class():
    boxes = torch.tensor([[0.0, 0, 9, 9]]).expand(4, 4)
    scores = torch.tensor([[0.5, 0.1], [0.5, 0.2], [0.5, 0.2], [0.1, 0.1]])
    _, labels, keep = TopFirstNMS()(boxes, scores, 0.0, 10)
    assert list(zip(keep.tolist(), labels.tolist())) == [(0, 0), (1, 1)]


def test_candidates_are_taken_until_enough_survive():
    """The best hundred are one box: a first pass of ten finds one of two."""
    boxes = torch.tensor([[0.0, 0, 9, 9]] * 100 + [[50, 50, 59, 59]])
    scores = torch.linspace(1, 0.5, 101)[:, None]
    _, _, keep = TopFirstNMS(first=10)(boxes, scores, 0.0, 2)
    assert keep.tolist() == [0, 100]


def test_a_score_at_the_threshold_is_no_candidate():
    boxes = torch.tensor([[0.0, 0, 9, 9], [50, 50, 59, 59]])
    scores = torch.tensor([[0.0], [0.1]])
    assert TopFirstNMS()(boxes, scores, 0.0, 9)[2].tolist() == [1]
    assert TopFirstNMS()(boxes, scores, 0.1, 9)[2].tolist() == []


def test_a_long_chain_of_neighbours_is_followed_to_its_end():
    left = torch.arange(50.0)[:, None] * 3  # each overlaps the next by .54
    boxes = torch.cat((left, left * 0, left + 10, left * 0 + 10), dim=1)
    scores = torch.linspace(1, 0.5, 50)[:, None]
    found = TopFirstNMS(0.5)(boxes, scores, 0.0, 50)
    assert found[2].tolist() == list(range(0, 50, 2))


@pytest.mark.parametrize(('regions', 'names'), [(0, 3), (2, 0), (0, 0)])
def test_nothing_in_nothing_out(regions, names):
    dets, labels, keep = TopFirstNMS()(
        torch.zeros(regions, 4), torch.zeros(regions, names), 0.0, 10
    )
    assert dets.shape == (0, 5)
    assert labels.shape == keep.shape == (0,)
    assert labels.dtype == torch.long


@pytest.mark.parametrize('score_thr', [0.05, 0.3])
def test_it_equals_mmdets_nms_where_that_is_exact(score_thr):
    from mmdet.models.layers import multiclass_nms

    boxes, scores = random_image(1, 80, 6, dtype=torch.float64)
    padded = torch.cat((scores, scores[:, :1]), dim=1)  # and background
    config = dict(type='nms', iou_threshold=0.5)
    dets, labels, keep = multiclass_nms(
        boxes, padded, score_thr, config, 50, return_inds=True
    )
    ours = TopFirstNMS()(boxes, scores, score_thr, 50)
    assert torch.equal(ours[0], dets)
    assert torch.equal(ours[1], labels)
    assert torch.equal(ours[2], keep // 6)


def test_far_apart_in_float32_boxes_are_compared_exactly():
    """IoU just above and just below the threshold, many pixels out."""
    boxes = torch.tensor(
        [[0, 0, 30, 10.0], [0, 0, 15, 10], [0, 0, 15.001, 10]]
    )
    boxes[:, ::2] += 4096
    scores = torch.tensor([[0.9], [0.8], [0.7]])
    assert TopFirstNMS(0.5)(boxes, scores, 0.0, 9)[2].tolist() == [0, 1]


def test_nan_scores_are_an_error():
    boxes, scores = random_image(0, 5, 3)
    scores[2, 1] = float('nan')
    with pytest.raises(ValueError, match='1 of 15 scores are NaN'):
        TopFirstNMS()(boxes, scores, 0.0, 10)


@pytest.mark.parametrize(
    ('boxes', 'scores'), [((3, 4), (2, 5)), ((3, 8), (3, 2)), ((3, 4), (3,))]
)
def test_other_shapes_are_an_error(boxes, scores):
    with pytest.raises(ValueError, match='expected'):
        TopFirstNMS()(torch.zeros(boxes), torch.zeros(scores), 0.0, 10)


def test_it_is_built_from_a_config():
    built = TASK_UTILS.build(
        dict(type='mmclip.TopFirstNMS', iou_threshold=0.7)
    )
    assert built.iou_threshold == 0.7
    with pytest.raises(ValueError, match='from 0 to 1'):
        TopFirstNMS(iou_threshold=50)
