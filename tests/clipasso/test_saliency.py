import numpy as np
import pytest
import torch

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clipasso.saliency import attention_maps, enlarge, otsu, xdog


@pytest.mark.parametrize('kind', ['vit', 'resnet'])
@pytest.mark.parametrize('count', [1, 2])
def test_attention_is_a_share_of_each_position(tiny_clip, kind, count):
    encoder = CLIPImageEncoder(tiny_clip(kind))
    images = torch.rand(count, 3, 64, 96)
    maps = attention_maps(encoder, images)
    grid = (8, 12) if kind == 'vit' else (2, 3)
    assert maps.shape == (count, *grid)
    assert (maps > 0).all()
    assert (maps.flatten(1).sum(1) < 1).all()  # the rest is the class token's


def test_the_last_block_is_not_the_mean_of_all(tiny_clip):
    encoder = CLIPImageEncoder(tiny_clip('vit'))
    image = torch.rand(1, 3, 32, 32)
    blocks = encoder.attention(encoder.normalise(image))
    rows = [b[0, :, 0, 1:].mean(0).view(4, 4) for b in blocks]
    torch.testing.assert_close(
        attention_maps(encoder, image)[0], torch.stack(rows).mean(0)
    )
    torch.testing.assert_close(
        attention_maps(encoder, image, 'last')[0], rows[-1]
    )
    with pytest.raises(ValueError, match="reduce is 'first'"):
        attention_maps(encoder, image, 'first')


def test_maps_are_scaled_one_by_one():
    maps = torch.stack(
        [torch.rand(4, 4), 9 * torch.rand(4, 4), torch.ones(4, 4)]
    )
    large = enlarge(maps, (32, 48))
    assert large.shape == (3, 32, 48)
    assert large[:2].amax((1, 2)).eq(1).all()
    assert large.amin((1, 2)).eq(0).all()
    assert large[2].eq(0).all()  # nothing stands out


def test_edges_are_found_where_they_are():
    grey = np.ones((40, 80))
    grey[:, 40:] = 0.5
    edges = xdog(grey)
    assert set(np.unique(edges)) == {0, 1}
    columns = np.flatnonzero((edges == 0).all(0))
    assert len(columns)
    assert columns.min() >= 40  # on the dark side
    assert columns.max() < 40 + 3 * 8  # within the coarse filter


def test_a_uniform_picture_has_no_edges_to_speak_of():
    edges = xdog(np.zeros((16, 16)))
    assert len(np.unique(edges)) == 1


def test_otsu_parts_two_heaps():
    values = np.r_[np.full(50, 0.1), np.full(30, 0.2), np.full(9, 0.9)]
    assert 0.2 <= otsu(values) <= 0.9
