import torch
from mmdet.registry import TASK_UTILS

from mmclip.glip.box_coder import GLIPBBoxCoder

ANCHORS = torch.tensor([[0.0, 0, 9, 9], [4, 4, 35, 19]])
BOXES = torch.tensor([[2.0, 3, 2, 3], [0, 0, 79, 59]])


def test_what_was_coded_comes_back():
    coder = TASK_UTILS.build(dict(type='mmclip.GLIPBBoxCoder'))
    deltas = coder.encode(ANCHORS, BOXES)
    torch.testing.assert_close(coder.decode(ANCHORS, deltas), BOXES)


def test_growth_is_bounded_above_and_not_below():
    deltas = torch.tensor([[0.0, 0, 100, -100]])
    coder = GLIPBBoxCoder()
    box = coder.decode(torch.tensor([[0.0, 0, 9, 9]]), deltas)[0]
    torch.testing.assert_close(box[2] - box[0] + 1, torch.tensor(625.0))
    assert box[3] - box[1] + 1 < 0.01


def test_boxes_are_clipped_to_the_last_pixel():
    deltas = torch.tensor([[0.0, 0, 20, 20], [0, 0, 20, 20]])
    boxes = GLIPBBoxCoder().decode(ANCHORS, deltas, max_shape=(50, 70, 3))
    assert boxes.min() == 0
    assert boxes[:, 2].max() == 69
    assert boxes[:, 3].max() == 49


def test_no_boxes_are_no_error():
    coder, none = GLIPBBoxCoder(), torch.zeros(0, 4)
    assert coder.encode(none, none).shape == (0, 4)
    assert coder.decode(none, none, max_shape=(5, 5)).shape == (0, 4)
