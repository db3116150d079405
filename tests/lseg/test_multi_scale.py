import pytest
import torch

from mmclip.lseg.multi_scale import (
    long_side_to,
    multi_scale_scores,
    padded,
    sliding_scores,
    spans,
)


def test_windows_begin_at_two_thirds_and_the_last_is_cut():
    assert spans(100, 48) == [slice(0, 48), slice(32, 80), slice(64, 100)]
    assert spans(48, 48) == [slice(0, 48)]


def test_the_longer_side_is_set_and_the_shape_kept():
    assert long_side_to((30, 60), 40) == (20, 40)
    assert long_side_to((61, 37), 52) == (52, 32)
    assert long_side_to((1, 500), 52) == (1, 52)


def test_every_window_has_the_size_of_the_crop():
    seen = []

    def score(window):
        seen.append(tuple(window.shape[2:]))
        return window

    sliding_scores(score, torch.zeros(1, 3, 50, 20), 48, flip=True)
    assert set(seen) == {(48, 48)}
    assert len(seen) == 4


def test_a_network_that_sees_single_pixels_is_unmoved_by_windows():
    image = torch.randn(1, 3, 70, 90)
    scores = sliding_scores(lambda x: x, image, 32, flip=False)
    torch.testing.assert_close(scores, image)


def test_scales_and_mirror_images_are_summed():
    image = torch.full((1, 3, 20, 30), 2.0)
    scores = multi_scale_scores(
        lambda x: x, image, base_size=40, crop_size=32, scales=(0.5, 1, 2)
    )
    torch.testing.assert_close(scores, torch.full_like(image, 2.0 * 2 * 3))


def test_what_lies_beyond_the_border_has_the_given_colour():
    black = torch.tensor([-1.0, -2.0, -3.0])[:, None, None]
    full = padded(torch.zeros(2, 3, 4, 5), 6, 5, black)
    assert full.shape == (2, 3, 6, 5)
    assert (full[:, :, 4:] == black).all()
    assert (full[:, :, :4] == 0).all()


@pytest.mark.parametrize('size', [(1, 1), (3, 200)])
def test_a_sliver_of_an_image_is_scored(size):
    image = torch.randn(1, 3, *size)
    scores = multi_scale_scores(
        lambda x: x, image, base_size=52, crop_size=48, scales=(0.5, 1)
    )
    assert scores.shape == image.shape
    assert scores.isfinite().all()
