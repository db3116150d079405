from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmclip.inference.image import list_images, load_image, stems

RED = (255, 0, 0)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'red.png'
    Image.new('RGB', (6, 4), RED).save(path)
    return path


def test_path_array_and_pil_give_one_image(file):
    picture = Image.open(file)
    rgb = np.array(picture)
    images = [
        load_image(given) for given in (file, str(file), picture, rgb)
    ] + [load_image(rgb[..., ::-1], 'bgr')]
    for image in images:
        assert image.shape == (4, 6, 3)
        assert image.dtype == np.uint8
        assert (image == RED).all()


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', 'LA', 'CMYK', '1'])
def test_every_mode_becomes_rgb(mode):
    image = load_image(Image.new('RGB', (5, 5), 'white').convert(mode))
    assert image.shape == (5, 5, 3)
    assert (image == 255).all()


def test_transparency_is_laid_on_white():
    clear = Image.new('RGBA', (2, 2), (0, 0, 0, 0))
    assert (load_image(clear) == 255).all()


def test_a_turned_photograph_is_set_upright(tmp_path):
    picture = Image.new('RGB', (6, 4))
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / 'turned.jpg', exif=exif)
    assert load_image(tmp_path / 'turned.jpg').shape == (6, 4, 3)


@pytest.mark.parametrize('shape', [(3, 3), (3, 3, 1), (3, 3, 4), (1, 1, 3)])
def test_grey_and_alpha_arrays_are_taken(shape):
    image = load_image(np.full(shape, 255, np.uint8))
    assert image.shape == (*shape[:2], 3)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.png'):
        load_image(tmp_path / 'none.png')


@pytest.mark.parametrize('content', [b'', b'text', b'\x89PNG\r\n\x1a\n cut'])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    path = tmp_path / 'bad.png'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='bad.png cannot be read'):
        load_image(path)


def test_a_truncated_image_is_named(file):
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ValueError, match='cannot be read'):
        load_image(file)


@pytest.mark.parametrize(
    'array',
    [
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_an_array_that_is_no_image_says_what_is_one(array):
    with pytest.raises(ValueError, match='uint8'):
        load_image(array)


def test_other_things_are_no_image():
    with pytest.raises(TypeError, match='int'):
        load_image(3)
    with pytest.raises(ValueError, match='channel_order'):
        load_image(np.zeros((2, 2, 3), np.uint8), 'grb')


def test_folders_are_listed_by_name_and_files_taken_as_they_are(tmp_path):
    for name in ('b.PNG', 'a.jpg', 'c.txt'):
        (tmp_path / name).write_bytes(b'')
    found = list_images([tmp_path, tmp_path / 'c.txt'])
    assert [path.name for path in found] == ['a.jpg', 'b.PNG', 'c.txt']


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no image .*none.png'):
        list_images([tmp_path / 'none.png'])
    with pytest.raises(FileNotFoundError, match='holds no image'):
        list_images([tmp_path])


def test_results_of_equal_names_do_not_share_a_file():
    paths = ['a/x.png', 'b/x.jpg', 'x-2.png', 'y.png', 'c/x.png']
    assert stems([Path(p) for p in paths]) == ['x', 'x-2', 'x-2-2', 'y', 'x-3']
    known = {'b/x.jpg': 'x'}
    assert stems([Path(p) for p in paths[:2]], known) == ['x-2', 'x']
