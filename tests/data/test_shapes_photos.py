"""Pictures like photographs, with their mattes."""

import hashlib

import numpy as np
import pytest

from mmclip.data.shapes import Concept, concepts
from mmclip.data.shapes_photos import PhotoCanvas, draw_photo


def test_a_seed_means_the_same_bytes_on_every_machine():
    digest = hashlib.sha256()
    for seed in range(40):  # enough for every material and every light
        photo = draw_photo(seed, 64, concepts())
        digest.update(photo.image.tobytes() + photo.alpha.tobytes())
    assert digest.hexdigest() == (
        'a7507360d704b0ba91b915c483917058cd92fbb0ce7233e77fd0787e9a1fb94e'
    )


def test_seeds_are_independent():
    before = draw_photo((0, 1), 64)
    assert (before.image != draw_photo((1, 0), 64).image).any()
    assert (before.image == draw_photo((0, 1), 64).image).all()


@pytest.mark.parametrize('size', [64, 224])
def test_the_matte_is_that_of_the_objects(size):
    for seed in range(6):
        photo = draw_photo(seed, size, concepts())
        masks = np.any([o.mask for o in photo.objects], axis=0)
        assert photo.image.shape == (size, size, 3)
        assert photo.image.dtype == photo.alpha.dtype == np.uint8
        assert 1 <= len(photo.objects) <= 3
        inside = photo.alpha > 127
        assert (inside & masks).sum() / (inside | masks).sum() > 0.93
        assert 0.02 < inside.mean() < 0.6


def test_the_matte_is_the_part_of_the_light_that_objects_give(monkeypatch):
    """Without shadows, another colour changes just what the matte says."""
    monkeypatch.setattr(PhotoCanvas, '_shadow', lambda self, whole: whole * 0)
    photos = [
        draw_photo(4, 96, [Concept(colour, 'solid', 'ring')], (1, 1))
        for colour in ('white', 'blue')
    ]
    white, blue = (photo.image[..., 0].astype(int) for photo in photos)
    alpha = photos[0].alpha
    assert (alpha == photos[1].alpha).all()
    assert np.abs(white - blue)[alpha == 0].max() <= 1  # rounding
    assert (white > blue + 20)[alpha == 255].all()
    edge = (alpha > 0) & (alpha < 255)
    fits, hard = (
        np.corrcoef((white - blue)[edge], matte[edge])[0, 1]
        for matte in (alpha, alpha > 127)
    )
    assert fits > 0.9 > hard


def test_objects_stand_on_the_table(monkeypatch):
    canvases, scene = [], PhotoCanvas.scene
    monkeypatch.setattr(
        PhotoCanvas, 'scene', lambda self: canvases.append(self) or scene(self)
    )
    for seed in range(12):
        draw_photo(seed, 64)
        for _, _, y, extent, _ in canvases[-1].placed:
            assert y + extent > (canvases[-1].horizon + 0.12) * 64


@pytest.mark.parametrize(
    'wrong', [dict(objects=(0, 1)), dict(objects=(2, 1)), dict(among=())]
)
def test_a_photo_shows_something(wrong):
    with pytest.raises(ValueError, match='from 1 on'):
        draw_photo(0, 64, **wrong)
