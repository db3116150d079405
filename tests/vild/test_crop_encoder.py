import pytest
import torch
import torch.nn.functional as F

from mmclip.vild.crop_encoder import CropEncoder, tower_hash
from mmclip.vild.crops import crop_boxes
from tests.clip.conftest import make_config
from tests.vild.teaching import random_boxes


@pytest.fixture(scope='module')
def encoder():
    return CropEncoder()


@pytest.fixture(scope='module')
def images():
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.rand(3, *side, generator=generator) * 255).to(torch.uint8)
        for side in ((48, 48), (40, 60), (48, 48))
    ]


BOXES = [torch.from_numpy(random_boxes(n, n, side=40)) for n in (3, 0, 2)]


def test_an_embedding_is_the_normalised_sum_over_the_scales(encoder, images):
    (found,) = encoder(images[:1], BOXES[:1])
    each = []
    for scale in (1.0, 1.5):
        crops = torch.stack(
            list(crop_boxes(images[0], BOXES[0], scale, 64, 'squash'))
        )
        pixels = encoder.encoder.normalise(crops.float() / 255)
        each.append(encoder.encoder.pooled(pixels, normalize=False))
    torch.testing.assert_close(found, F.normalize(each[0] + each[1], dim=1))
    assert found.shape == (3, 128)


@pytest.mark.parametrize('batch_size', [2, 3, 8, 256])
def test_batches_run_across_images(encoder, images, batch_size):
    small = CropEncoder(batch_size=batch_size)
    together = small(images, BOXES)
    assert [len(rows) for rows in together] == [3, 0, 2]
    for image, boxes, rows in zip(images, BOXES, together):
        (alone,) = encoder([image], [boxes])
        torch.testing.assert_close(rows, alone, rtol=1e-4, atol=1e-5)


def test_no_image_and_no_box_give_no_row(encoder, images):
    assert encoder([], []) == []
    (rows,) = encoder(images[:1], [torch.zeros(0, 4)])
    assert rows.shape == (0, 128)


def test_the_mode_is_the_one_that_the_clip_was_trained_with(encoder):
    assert encoder.mode == 'squash'  # shapes-clip's own
    other = CropEncoder(make_config(), seed=0)
    assert other.mode == 'crop'  # CLIP's
    assert CropEncoder(make_config(), seed=0, mode='squash').mode == 'squash'


def test_weights_are_known_by_their_values_and_random_ones_by_their_name():
    config = make_config()
    first, same = CropEncoder(config, seed=0), CropEncoder(config, seed=0)
    assert (
        first.weights == same.weights == tower_hash(first.encoder.tower.visual)
    )
    assert first.weights != CropEncoder(config, seed=1).weights
    assert first.clip == 'own config (random weights, seed 0)'
    with pytest.raises(ValueError, match='random weights, which teach noth'):
        CropEncoder(config)


def test_drawing_weights_leaves_the_generator_alone():
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    CropEncoder(make_config(), seed=5)
    assert torch.equal(torch.rand(1), wanted)


@pytest.mark.parametrize(
    'wrong', [dict(scales=()), dict(scales=(0.0,)), dict(batch_size=1)]
)
def test_settings_that_give_no_crop_are_refused(wrong):
    with pytest.raises(ValueError, match='factors above 0'):
        CropEncoder(**wrong)


def test_nothing_of_it_learns(encoder):
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder.train().encoder.training
