import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from PIL import Image

from mmclip.clipasso.transforms import (
    ApplyForegroundMask,
    CompositeOnWhite,
    PadToWhiteSquare,
    ResizeToCanvas,
)
from mmclip.registry import TRANSFORMS
from tests.clipasso.sketching import pipeline


def save(path, array, **options):
    picture = array
    if not isinstance(array, Image.Image):
        picture = Image.fromarray(array)
    picture.save(path, **options)
    return dict(img_path=str(path), name=path.stem)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def run(results):
    return Compose([TRANSFORMS.build(step) for step in pipeline()])(results)


@pytest.mark.parametrize('size', [(40, 40), (300, 90), (9, 30)])
@pytest.mark.parametrize('channels', [1, 3, 4])
def test_any_image_becomes_a_square_target(tmp_path, size, channels):
    array = noise(*size, channels).squeeze()
    packed = run(save(tmp_path / 'a.png', array))
    assert packed['inputs'].shape == (3, 64, 64)
    assert packed['inputs'].dtype == torch.uint8
    sample = packed['data_samples']
    assert sample.ori_shape == size
    assert ('mask' in sample) == (channels == 4)


def test_what_is_transparent_turns_white_and_is_no_foreground(tmp_path):
    array = np.zeros((40, 40, 4), np.uint8)
    array[10:30, 10:30] = (90, 0, 0, 255)
    packed = run(save(tmp_path / 'a.png', array))
    mask = packed['data_samples'].mask.bool()
    image = packed['inputs'].permute(1, 2, 0)
    assert mask.float().mean() == pytest.approx((20 / 60) ** 2, abs=0.03)
    assert image[~mask].float().mean() > 245
    assert image[mask][:, 1].float().mean() < 40


def test_sixteen_bits_and_the_first_picture_of_an_animation(tmp_path):
    grey = np.linspace(0, 65535, 400).reshape(20, 20).astype(np.uint16)
    results = CompositeOnWhite()(save(tmp_path / 'g.png', grey))
    assert results['image'].max() == 255
    assert 120 < results['image'].mean() < 135
    frames = [Image.new('RGB', (20, 20), c) for c in ('red', 'blue')]
    frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
    results = CompositeOnWhite()(dict(img_path=str(tmp_path / 'a.gif')))
    assert results['image'][0, 0].tolist() == [255, 0, 0]


def test_a_huge_image_is_reduced_and_a_tiny_one_refused(tmp_path):
    huge = Image.new('RGB', (6000, 3000), 'red')
    results = CompositeOnWhite(512)(save(tmp_path / 'h.jpg', huge))
    assert results['image'].shape == (256, 512, 3)
    with pytest.raises(ValueError, match='is 7 x 40 pixels'):
        run(save(tmp_path / 't.png', noise(40, 7, 3)))


def test_an_image_too_large_to_be_safe_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(ValueError, match='too large to be read safely'):
        run(save(tmp_path / 'h.png', noise(40, 40, 3)))


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r"a\.png' cannot be read"):
        run(dict(img_path=str(tmp_path / 'a.png')))
    whole = tmp_path / 'b.png'
    save(whole, noise(40, 40, 3))
    whole.write_bytes(whole.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"b\.png' cannot be read"):
        run(dict(img_path=str(whole)))
    with pytest.raises(FileNotFoundError, match=r'c\.png'):
        run(dict(img_path=str(tmp_path / 'c.png')))


def test_a_mask_from_a_file_counts_before_transparency(tmp_path):
    results = save(tmp_path / 'a.png', noise(40, 40, 4))
    mask = np.zeros((20, 20), np.uint8)
    mask[5:10, 5:10] = 255
    save(tmp_path / 'm.png', mask)
    results['mask_path'] = str(tmp_path / 'm.png')
    found = ApplyForegroundMask()(CompositeOnWhite()(results))
    assert found['mask'].shape == (40, 40)
    assert found['mask'].mean() == pytest.approx(1 / 16, abs=0.02)
    assert (found['image'][~found['mask']] == 255).all()


def test_an_opaque_rgba_mask_is_read_by_its_colour(tmp_path):
    results = save(tmp_path / 'a.png', noise(20, 20, 3))
    mask = np.zeros((20, 20, 4), np.uint8)
    mask[..., 3] = 255
    mask[:10, :, :3] = 255
    save(tmp_path / 'm.png', mask)
    results['mask_path'] = str(tmp_path / 'm.png')
    found = ApplyForegroundMask('file')(CompositeOnWhite()(results))
    assert found['mask'][:9].all()
    assert not found['mask'][11:].any()


def test_an_empty_mask_and_a_missing_one_are_errors(tmp_path):
    results = save(tmp_path / 'a.png', noise(20, 20, 3))
    save(tmp_path / 'm.png', np.zeros((20, 20), np.uint8))
    empty = dict(results, mask_path=str(tmp_path / 'm.png'))
    with pytest.raises(ValueError, match=r'a\.png: the mask is empty'):
        ApplyForegroundMask()(CompositeOnWhite()(empty))
    with pytest.raises(ValueError, match='the dataset was given no masks'):
        ApplyForegroundMask('file')(CompositeOnWhite()(dict(results)))
    with pytest.raises(ValueError, match='nothing in it is transparent'):
        ApplyForegroundMask('alpha')(CompositeOnWhite()(dict(results)))
    with pytest.raises(ValueError, match='expected one of'):
        ApplyForegroundMask('salient')
    with pytest.raises(ValueError, match='belong together'):
        ApplyForegroundMask('model')


def test_a_square_can_be_cropped_or_stretched():
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, :10], image[:, 30:] = 255, 255
    cropped = ResizeToCanvas(32)(dict(image=image))['image']
    stretched = ResizeToCanvas(32, 'stretch')(dict(image=image))['image']
    assert cropped.mean() < 10
    assert 110 < stretched.mean() < 145
    with pytest.raises(ValueError, match='16 pixels or more'):
        ResizeToCanvas(8)
    with pytest.raises(ValueError, match='expected'):
        ResizeToCanvas(32, 'pad')


def test_only_what_has_a_mask_is_padded_unless_asked_for():
    image = np.zeros((20, 40, 3), np.uint8)
    assert PadToWhiteSquare()(dict(image=image))['image'].shape[0] == 20
    padded = PadToWhiteSquare(always=True)(dict(image=image))
    assert padded['image'].shape == (60, 60, 3)
    results = dict(image=image, mask=np.ones((20, 40), bool))
    masked = PadToWhiteSquare(margin=0)(results)
    assert masked['mask'].sum() == 800
    assert (masked['image'][~masked['mask']] == 255).all()
