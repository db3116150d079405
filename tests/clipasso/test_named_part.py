from itertools import islice

import numpy as np
import pytest
import torch

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clipasso.named_part import (
    crop_part,
    name_embeddings,
    nearest_part,
)
from mmclip.data.shapes import draw_scene


def scene():
    """Two objects apart from each other, and their masks."""
    for seed in range(40):
        drawn = draw_scene((5, seed), 96, objects=(2, 2), radius=(0.16, 0.2))
        if len(drawn.objects) == 2:
            a, b = (each.mask for each in drawn.objects)
            names = {each.concept.name for each in drawn.objects}
            if not (a & b).any() and len(names) == 2:
                yield drawn


def test_a_name_finds_its_part():
    encoder = CLIPImageEncoder('shapes-clip')
    hits = []
    for drawn in islice(scene(), 8):
        image = torch.from_numpy(drawn.image).permute(2, 0, 1) / 255
        parts = np.stack([each.mask for each in drawn.objects])
        names = [each.concept.name for each in drawn.objects]
        texts = name_embeddings(names, dict(model='shapes-clip'))
        for k, text in enumerate(texts):
            hits.append(nearest_part(encoder, image, parts, text) == k)
    assert len(hits) > 12
    assert np.mean(hits) >= 0.9


def test_articles_of_a_name_are_left_to_the_sentence():
    settings = dict(model='shapes-clip')
    bare, full = name_embeddings(['red circle', 'a red circle'], settings)
    assert torch.equal(bare, full)
    assert bare.norm().item() == pytest.approx(1)


def test_a_crop_is_the_square_around_a_part():
    part = np.zeros((40, 60), bool)
    part[10:20, 30:50] = True
    crop = crop_part(torch.from_numpy(part)[None].float(), part, 26)
    assert crop.shape == (1, 26, 26)  # 20 pixels and 3 around them
    wanted = torch.zeros(26, 26)
    wanted[8:18, 3:23] = 1
    torch.testing.assert_close(crop[0], wanted, atol=1e-4, rtol=0)


def test_beyond_the_picture_its_border_goes_on():
    part = np.zeros((8, 8), bool)
    part[:2, :2] = True
    crop = crop_part(torch.full((3, 8, 8), 0.7), part, 16)
    torch.testing.assert_close(crop, torch.full((3, 16, 16), 0.7))
