import pytest
import torch
from mmengine.config import ConfigDict

from mmclip.clip.windows import join_windows, window_spans, windows_of

SLIDE = ConfigDict(mode='slide', crop_size=(4, 6), stride=(3, 4))


def test_windows_lie_where_mmseg_puts_them():
    assert window_spans(100, 64, 48) == [slice(0, 64), slice(36, 100)]
    assert window_spans(30, 64, 48) == [slice(0, 30)]


@pytest.mark.parametrize('size', [(4, 6), (5, 17), (1, 1), (9, 6)])
def test_windows_cover_every_pixel(size):
    seen = torch.zeros(1, 1, *size)
    for window in windows_of(size, SLIDE):
        seen[window] += 1
    assert (seen > 0).all()


def test_without_sliding_there_is_one_window():
    (window,) = windows_of((5, 7), ConfigDict(mode='whole'))
    image = torch.randn(2, 3, 5, 7)
    assert image[window].shape == image.shape


@pytest.mark.parametrize('size', [(4, 6), (5, 17)])
def test_windows_that_agree_are_joined_to_what_they_were_cut_from(size):
    image = torch.randn(2, 3, *size)
    windows = windows_of(size, SLIDE)
    parts = [image[window] for window in windows]
    joined = join_windows(parts, windows, image, lambda part, _: part)
    torch.testing.assert_close(joined, image)
