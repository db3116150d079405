import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize
from torchvision.transforms import InterpolationMode as Mode

from mmclip.vild.crops import (
    bicubic,
    centre_window,
    crop_boxes,
    cut,
    integer_boxes,
    resized_sides,
    scale_boxes,
    window_weights,
)

SIZE = 56
BOXES = torch.tensor(
    [
        [10.2, 5.7, 60.0, 40.0],
        [0.0, 0.0, 90.0, 70.0],  # the whole image
        [70.0, 50.0, 90.0, 70.0],  # 1.5 times it leaves the image
        [3.0, 8.0, 88.0, 10.0],  # long and thin
        [40.0, 2.0, 42.0, 69.0],
        [20.0, 20.0, 20.0, 20.0],  # a point
    ]
)


@pytest.fixture(scope='module')
def image():
    """Return noise, smoothed here and there, uint8 (3, 70, 90)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 70, 90, generator=generator) * 255
    noise[:, 35:] = noise[:, 35:].cumsum(2) % 255
    return noise.to(torch.uint8)


def theirs(image, box, mode):
    """Crop and preprocess one box as PIL and torchvision do."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy()).crop(box)
    if mode == 'squash':
        steps = [Resize((SIZE, SIZE), Mode.BICUBIC)]
    else:
        steps = [Resize(SIZE, Mode.BICUBIC), CenterCrop(SIZE)]
    return torch.from_numpy(np.array(Compose(steps)(picture))).permute(2, 0, 1)


def psnr(ours, expected) -> float:
    error = (ours.float() - expected.float()).square().mean()
    return float(10 * torch.log10(255**2 / error.clamp(min=1e-9)))


@pytest.fixture(scope='module')
def photograph():
    """Return a part of a photograph, uint8 (3, 70, 90)."""
    with get_sample_data('grace_hopper.jpg') as file:
        pixels = np.array(Image.open(file).convert('RGB'))[200:270, 150:240]
    return torch.from_numpy(pixels).permute(2, 0, 1)


@pytest.mark.parametrize('scale', [1.0, 1.5])
@pytest.mark.parametrize('kind', [torch.uint8, torch.float32])
@pytest.mark.parametrize(
    ('source', 'mode', 'wanted'),  # dB; squashing: see bicubic on PIL 13
    [
        ('image', 'crop', {torch.uint8: 65, torch.float32: 55}),
        ('photograph', 'crop', {torch.uint8: 65, torch.float32: 55}),
        ('photograph', 'squash', {torch.uint8: 52, torch.float32: 52}),
    ],
)
def test_crops_are_those_of_pil(source, mode, kind, wanted, scale, request):
    image = request.getfixturevalue(source)
    cuts = list(crop_boxes(image.to(kind), BOXES, scale, SIZE, mode))
    whole = integer_boxes(scale_boxes(BOXES, scale)).tolist()
    assert len(cuts) == len(BOXES)
    for ours, box in zip(cuts, whole):
        assert ours.dtype == kind
        assert ours.shape == (3, SIZE, SIZE)
        assert psnr(ours, theirs(image, box, mode)) > wanted[kind]


def test_what_lies_outside_is_black(image):
    crop = cut(image, [80, 60, 100, 80])
    assert torch.equal(crop[:, :10, :10], image[:, 60:, 80:])
    assert crop[:, 10:].sum() == crop[:, :, 10:].sum() == 0
    assert cut(image, [-9, -9, -1, -1]).sum() == 0
    assert cut(image, [95, 0, 99, 4]).shape == (3, 4, 4)
    corner = cut(image, [-5, -4, 5, 6])
    assert torch.equal(corner[:, 4:, 5:], image[:, :6, :5])


def test_boxes_grow_about_their_centre_and_round_outwards():
    box = torch.tensor([[10.0, 20, 30, 60]])
    assert scale_boxes(box, 1.5).tolist() == [[5, 10, 35, 70]]
    assert integer_boxes(box).tolist() == [[9, 19, 31, 61]]  # as DetPro
    between = torch.tensor([[10.5, 20.2, 29.9, 59.1]])
    assert integer_boxes(between).tolist() == [[10, 20, 30, 60]]


def test_a_long_box_loses_its_ends():
    striped = torch.zeros(3, 10, 40, dtype=torch.uint8)
    striped[:, :, 15:25] = 255
    box = torch.tensor([[0.001, 0.001, 39.999, 9.999]])
    (crop,) = crop_boxes(striped, box, 1.0, 20, 'crop')
    (squashed,) = crop_boxes(striped, box, 1.0, 20, 'squash')
    assert crop.float().mean() > 240
    assert 50 < squashed.float().mean() < 80


def test_a_squared_box_keeps_its_ends_and_its_shape():
    image = torch.zeros(3, 40, 40)
    image[:, 15:25, 5:35] = 200  # 30 wide, 10 high
    box = torch.tensor([[5.0, 15, 35, 25]])
    (crop,) = crop_boxes(image, box, 1.0, 32, 'square')
    bright = crop[0] > 100
    wide, high = int(bright.any(0).sum()), int(bright.any(1).sum())
    assert wide == 30  # a pixel on either side belongs to the crop
    assert high == 10
    (tall,) = crop_boxes(image.mT, box[:, [1, 0, 3, 2]], 1.0, 32, 'square')
    torch.testing.assert_close(tall, crop.mT)


def test_the_window_of_a_thin_box_is_what_the_whole_would_show(image):
    crop = image[:, 3:9].float()
    height, width = resized_sides(6, 90, SIZE)
    left, _, right, _ = centre_window(height, width, SIZE)
    across = window_weights(90, width, left, right)
    columns = (crop @ across.T).clamp(0, 255)
    whole = bicubic(crop, height, width)[:, :, left:right]
    torch.testing.assert_close(
        bicubic(columns, SIZE, SIZE), whole, rtol=0, atol=1e-2
    )
    torch.testing.assert_close(across.sum(1), torch.ones(SIZE))


def test_a_hair_across_a_large_image_takes_little_memory():
    wide = torch.zeros(3, 20, 4000, dtype=torch.uint8)
    box = torch.tensor([[0.0, 5.0, 4000.0, 5.5]])
    (crop,) = crop_boxes(wide, box, 1.0, 224, 'crop')
    assert crop.shape == (3, 224, 224)


@pytest.mark.parametrize(
    'box', [[0, 0, float('nan'), 5], [9, 0, 5, 5], [0, 0, float('inf'), 1]]
)
def test_what_is_no_box_is_refused(image, box):
    with pytest.raises(ValueError, match='box 1 is'):
        list(crop_boxes(image, torch.tensor([[0, 0, 4, 4], box]), 1.0, SIZE))


def test_an_unknown_mode_is_refused(image):
    with pytest.raises(ValueError, match="'middle': expected one of"):
        list(crop_boxes(image, BOXES, 1.0, SIZE, 'middle'))
