import cv2
import numpy as np
import pytest
import torch

from benchmarks import sketch_limits as limits
from mmclip.clipasso.features import CLIPFeatureExtractor
from mmclip.clipasso.pyramid import PixelPyramid
from mmclip.clipasso.standing_out import (
    as_map,
    border_distance,
    cut_out,
    parts_of,
    standing_out,
    unlike_border,
)

FIRST = 200  # scenes that nothing was chosen on


@pytest.fixture(scope='module')
def looks(tiny_clip):
    """What can look: pixels, shapes-clip, and a ViT that knows nothing."""
    return {
        'pixels': PixelPyramid(list(limits.SCALES)),
        'shapes-clip': CLIPFeatureExtractor(
            'shapes-clip', layers=list(limits.LAYERS), pooled=False
        ),
        'random ViT': CLIPFeatureExtractor(
            tiny_clip('vit'), layers=['block0'], pooled=False
        ),
    }


@pytest.fixture(scope='module')
def scenes():
    images, masks = zip(*(limits.cluttered(FIRST + k) for k in range(12)))
    return as_pictures(*images), np.stack(masks)


def as_pictures(*images):
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255


def area_under_curve(score, mask):
    """How often a pixel of the object scores above one of the rest."""
    inside, outside = np.sort(score[mask]), np.sort(score[~mask])
    below = np.searchsorted(outside, inside) + np.searchsorted(
        outside, inside, side='right'
    )
    return below.mean() / 2 / len(outside)


@pytest.mark.parametrize(
    ('name', 'least'), [('pixels', 0.93), ('shapes-clip', 0.86)]
)
def test_objects_are_more_unlike_the_border_than_lines_behind_them(
    looks, scenes, name, least
):
    images, masks = scenes
    unlike = unlike_border(images, looks[name].look_at_target).numpy()
    assert 0 <= unlike.min() < 0.1 < 0.9 < unlike.max() <= 1
    found = [area_under_curve(u, m) for u, m in zip(unlike, masks)]
    assert np.mean(found) > least


@pytest.mark.parametrize(
    ('name', 'least'),
    [('pixels', 0.92), ('shapes-clip', 0.95), ('random ViT', 0.95)],
)
def test_of_cluttered_pictures_the_object_is_cut_out(
    looks, scenes, name, least
):
    images, masks = scenes
    found = standing_out(images, looks[name].look_at_target).numpy()
    assert set(np.unique(found)) == {0, 1}
    curve = [area_under_curve(f, m) for f, m in zip(found, masks)]
    assert np.mean(curve) > least
    disc = np.ones((2 * limits.NEAR + 1,) * 2, np.uint8)
    far = np.stack([cv2.dilate(np.uint8(m), disc) == 0 for m in masks])
    assert found[far].mean() < 0.02


def test_a_picture_is_judged_alone(looks, scenes):
    look, (images, _) = looks['shapes-clip'].look_at_target, scenes
    both = standing_out(images[:2], look)
    for k in range(2):
        one = images[k : k + 1]
        alone = standing_out(one, look)
        assert (both[k] != alone[0]).float().mean() < 0.01
    again = standing_out(images[:2], look)
    assert torch.equal(both, again)


@pytest.mark.parametrize('colour', [0.0, 0.37, 1.0])
def test_of_one_colour_nothing_stands_out(looks, colour):
    image = torch.full((1, 3, 64, 64), colour)
    for look in looks.values():
        assert not standing_out(image, look.look_at_target).any()


def test_an_object_that_the_border_cuts_is_found(looks):
    image = np.full((96, 96, 3), 230, np.uint8)
    cv2.circle(image, (48, 92), 26, (180, 40, 30), -1)
    mask = (image[..., 0] == 180) & (image[..., 1] == 40)
    images = as_pictures(image)
    for name in ('pixels', 'shapes-clip'):
        found = standing_out(images, looks[name].look_at_target)
        found = found[0].numpy() > 0
        assert (found & mask).sum() > 0.9 * mask.sum()
        assert (found & ~mask).sum() < 0.1 * mask.sum()


def test_a_wide_picture_is_cut_out_too():
    image = np.full((48, 96, 3), 230, np.uint8)
    image[14:34, 20:50] = (30, 60, 160)
    images = as_pictures(image)
    found = standing_out(images, PixelPyramid(['scale1', 'scale4']))
    found = found[0].numpy() > 0
    wanted = np.zeros((48, 96), bool)
    wanted[14:34, 20:50] = True
    assert (found ^ wanted).sum() < 0.05 * wanted.sum()


def test_where_grab_cut_finds_nothing_the_guess_stays():
    noise = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    unlike = np.zeros((32, 32))
    unlike[10:20, 10:20] = 1
    assert cut_out(noise, unlike)[10:20, 10:20].mean() > 0.2
    assert not cut_out(noise, np.zeros((32, 32))).any()


def test_the_distance_is_that_of_mahalanobis():
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    maps[:, 0] *= 10  # a direction in which the border varies
    maps[:, :, 4, 4] = 0
    maps[0, 0, 4, 4] = maps[1, 1, 4, 4] = 10.0
    far = border_distance(maps)[:, 4, 4]
    assert far[0] < 2 < far[1]
    assert border_distance(torch.ones(1, 3, 9, 9)).eq(0).all()


def test_tokens_are_laid_out_without_the_class():
    tokens = torch.arange(2 * 10 * 3).view(2, 10, 3).float()
    maps = as_map(tokens)
    assert maps.shape == (2, 3, 3, 3)
    assert torch.equal(maps[1, :, 0, 2], tokens[1, 3])
    assert as_map(maps) is maps


def test_thin_parts_fall_away_and_the_rest_is_told_apart():
    mask = np.zeros((40, 40), bool)
    mask[5:15, 5:15] = mask[25:35, 22:34] = True
    mask[10, 1:] = True  # a line through one of them
    parts = parts_of(mask, thin=1)
    assert [int(part.sum()) for part in parts] == [98, 116]  # no corners
    mask[:10] = mask[11:] = False
    assert len(parts_of(mask, thin=1)) == 1  # all is thin
    assert parts_of(np.zeros((8, 8), bool)).shape == (0, 8, 8)


def test_the_caller_may_choose_among_the_parts():
    image = np.full((64, 64, 3), 240, np.uint8)
    image[8:36, 8:36], image[44:56, 44:56] = (30, 60, 160), (200, 40, 60)
    images = as_pictures(image)
    look = PixelPyramid(['scale1'])
    most = standing_out(images, look)[0]
    assert most[20, 20]
    assert not most[50, 50]
    asked = []

    def second(k, parts):
        asked.append((k, len(parts)))
        return int(not parts[1][20, 20])

    other = standing_out(images, look, choose=second)[0]
    assert asked == [(0, 2)]
    assert other[50, 50]
    assert not other[20, 20]
