import math

import torch

from mmclip.vild.box_coder import ViLDBBoxCoder

BOXES = torch.tensor([[10.0, 20, 29, 59], [0, 0, 63, 31]])
STDS = dict(target_stds=(0.1, 0.1, 0.2, 0.2))


def test_what_is_encoded_is_decoded():
    coder, true = ViLDBBoxCoder(**STDS), BOXES + torch.tensor([3.0, -2, 9, 4])
    torch.testing.assert_close(
        coder.decode(BOXES, coder.encode(BOXES, true)), true
    )


def test_the_last_pixel_belongs_to_the_box():
    # 20 wide, centre 20: moved by half a width, and twice as wide
    coder = ViLDBBoxCoder()
    deltas = torch.tensor([[0.5, 0.0, math.log(2), 0.0]])
    decoded = coder.decode(BOXES[:1], deltas)
    torch.testing.assert_close(decoded, torch.tensor([[10.0, 20, 49, 59]]))


def test_stds_are_the_releases_weights():
    coder, true = ViLDBBoxCoder(**STDS), BOXES + 4
    torch.testing.assert_close(
        coder.encode(BOXES, true)[0],
        torch.tensor([10 * 4 / 20, 10 * 4 / 40, 0, 0]),
    )


def test_boxes_end_at_the_last_pixel_of_the_image():
    decoded = ViLDBBoxCoder().decode(
        BOXES, torch.tensor([[-9.0, -9, 3, 3], [9, 9, 3, 3]]), (48, 64)
    )
    assert decoded.min() >= 0
    assert decoded[:, 2].max() <= 63
    assert decoded[:, 3].max() <= 47


def test_growth_is_bounded_and_shrinking_is_not():
    coder = ViLDBBoxCoder()
    grown = coder.decode(BOXES[:1], torch.tensor([[0.0, 0, 99, -99]]))
    width, height = (grown[0, 2:] - grown[0, :2] + 1).tolist()
    assert abs(width - 20 * 1000 / 16) < 0.1
    assert height < 1e-3


def test_no_boxes_are_no_matter():
    none = torch.zeros(0, 4)
    assert ViLDBBoxCoder().decode(none, none, (4, 4)).shape == (0, 4)
