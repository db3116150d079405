import pytest
import torch

from mmclip.clipasso.ordering import (
    greedy_order,
    measure_subsets,
    order_sketch,
    prefix_auc,
    prefix_losses,
)
from mmclip.clipasso.strokes import keep_strokes
from tests.clipasso.test_sketcher import batch, build

GAIN = torch.tensor([1.0, 4.0, 2.0])
ENDS = torch.zeros(3, 2, 2)


def measure(masks):
    """A sketch whose strokes add up: 10 less what each brings."""
    return 10 - masks.float() @ GAIN


def test_the_stroke_that_adds_most_comes_first():
    assert greedy_order(measure, ENDS) == [1, 2, 0]


def test_a_near_stroke_may_come_before_a_better_one():
    ends = torch.tensor([[[1.0, 0], [2, 0]], [[0, 0], [1, 0]], [[50, 0]] * 2])
    assert greedy_order(measure, ends, travel=0.1) == [1, 0, 2]


def test_losses_of_prefixes_begin_with_the_empty_canvas():
    assert prefix_losses(measure, [1, 2, 0]).tolist() == [10, 6, 4, 3]


def test_the_auc_is_one_where_the_first_stroke_says_it_all():
    assert prefix_auc(torch.tensor([4.0, 1, 1, 1])) == 1
    assert prefix_auc(torch.tensor([4.0, 3, 2, 1])) == pytest.approx(2 / 3)
    assert prefix_auc(torch.tensor([4.0, 4, 4, 1])) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match='no gain'):
        prefix_auc(torch.tensor([1.0, 2.0]))


def test_subsets_of_a_sketch_are_measured_like_sketches():
    model = build(num_strokes=3)
    model.reserve(2)
    model.begin(batch(2))
    masks = torch.tensor([[1, 1, 1], [0, 1, 0], [0, 0, 0]]).bool()
    found = measure_subsets(model, 2, chunk=2)(masks)
    whole = model.evaluate()
    torch.testing.assert_close(found[0], whole[2], atol=1e-5, rtol=1e-5)
    strokes = model.strokes()
    some = keep_strokes(strokes, masks[1].expand(4, 3))
    torch.testing.assert_close(
        found[1], model.evaluate(some)[2], atol=1e-5, rtol=1e-5
    )
    assert sorted(order_sketch(model, 1)) == [0, 1, 2]
