import numpy as np
import pytest
from PIL import Image

from mmclip.clipasso.preprocess import (
    composite_on_white,
    foreground_mask,
    keep_foreground,
    pad_to_white_square,
    resize_to_canvas,
)


@pytest.mark.parametrize('mode', ['RGB', 'L', 'RGBA', 'P', 'LA', '1'])
def test_any_mode_becomes_rgb(mode):
    image = composite_on_white(Image.new(mode, (7, 5)))
    assert image.shape == (5, 7, 3)
    assert image.dtype == np.uint8


def test_what_is_transparent_turns_white():
    image = Image.new('RGBA', (4, 4), (0, 0, 0, 0))
    image.putpixel((1, 2), (10, 20, 30, 255))
    flat = composite_on_white(image)
    assert flat[2, 1].tolist() == [10, 20, 30]
    assert flat[0, 0].tolist() == [255, 255, 255]


def test_a_mask_is_cut_at_half_of_the_range():
    score = np.zeros((4, 4))
    score[:, 2:] = 8
    mask = foreground_mask(score, (8, 8))
    assert mask[:, 4:].all()
    assert not mask[:, :4].any()
    assert not foreground_mask(np.ones((4, 4)), (8, 8)).any()


def test_the_background_turns_white():
    image = np.full((4, 4, 3), 100, np.uint8)
    mask = np.zeros((4, 4), bool)
    mask[1, 1] = True
    kept = keep_foreground(image, mask)
    assert kept[1, 1].tolist() == [255] * 3  # the brightest value
    assert kept[0, 0].tolist() == [255] * 3
    image[1, 1] = 50
    assert keep_foreground(image, mask)[1, 1].tolist() == [127] * 3


def test_an_empty_or_foreign_mask_is_refused():
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match='mask is empty'):
        keep_foreground(image, np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match='the mask is'):
        keep_foreground(image, np.ones((4, 5), bool))


def test_padding_centres_and_keeps_every_pixel():
    image = np.zeros((10, 31, 3), np.uint8)
    square = pad_to_white_square(image, margin=4)
    assert square.shape == (35, 35, 3)
    assert (square == 0).all(2).sum() == 310
    assert (square[12:22, 2:33] == 0).all()


def test_the_canvas_is_square():
    assert resize_to_canvas(np.zeros((9, 30, 3), np.uint8), 16).shape == (
        16,
        16,
        3,
    )
