"""Whatever somebody has is read as images, one at a time."""

import io
from collections import deque

import numpy as np
import pytest
from PIL import Image

from mmclip.inference.source import ImageSource, LeftOut, tracked

PIXELS = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two images, one of them within a folder, and what is none."""
    (tmp_path / 'in' / 'deeper').mkdir(parents=True)
    Image.fromarray(PIXELS).save(tmp_path / 'in' / 'b.png')
    Image.fromarray(PIXELS).save(tmp_path / 'in' / 'deeper' / 'c.png')
    (tmp_path / 'in' / 'notes.txt').write_text('no image')
    (tmp_path / 'in' / '.hidden.png').write_bytes(b'no image')
    return tmp_path / 'in'


def one_of_each_kind(folder):
    path = folder / 'b.png'
    yield path
    yield str(path)
    yield path.read_bytes()
    yield bytearray(path.read_bytes())
    yield PIXELS
    yield Image.fromarray(PIXELS)


def test_one_image_of_any_kind_is_the_same_image(folder):
    for given in one_of_each_kind(folder):
        source = ImageSource(given)
        assert not source.many
        ((name, image),) = source
        assert (image == PIXELS).all()
        assert name in (str(folder / 'b.png'), 'image 0')


@pytest.mark.parametrize('kind', [list, tuple, iter, deque])
def test_many_images_of_all_kinds_come_in_their_order(folder, kind):
    source = ImageSource(kind(list(one_of_each_kind(folder))))
    assert source.many
    assert source.count == (None if kind is iter else 6)
    names, images = zip(*source)
    assert names[1:] == (
        str(folder / 'b.png'),
        *(f'image {k}' for k in range(2, 6)),
    )
    assert all((image == PIXELS).all() for image in images)


def test_a_folder_is_many_images(folder):
    assert [name for name, _ in ImageSource(folder)] == [str(folder / 'b.png')]
    deeper = ImageSource(str(folder), recursive=True)
    assert deeper.count == 2
    assert [name for name, _ in deeper] == [
        str(folder / 'b.png'),
        str(folder / 'deeper' / 'c.png'),
    ]


def test_a_folder_within_a_list_is_opened(folder):
    assert ImageSource([folder, folder / 'b.png']).count == 2


def test_an_iterator_is_read_no_further_than_needed():
    read = []

    def endless():
        while True:
            read.append(1)
            yield PIXELS

    images = iter(ImageSource(endless()))
    next(images)
    next(images)
    assert len(read) == 2


def test_a_broken_file_among_many_is_told_and_left_out(folder, capsys):
    (folder / 'a.png').write_bytes(b'no image')
    left_out = LeftOut()
    source = ImageSource(folder, on_broken=left_out)
    assert [name for name, _ in source] == [str(folder / 'b.png')]
    assert list(left_out) == [str(folder / 'a.png')]
    assert 'a.png cannot be read' in capsys.readouterr().err
    assert left_out.exit_code() == 1
    assert '1 of the images' in capsys.readouterr().err
    assert LeftOut().exit_code() == 0
    with pytest.warns(match=r'left out: .*a\.png cannot be read'):
        assert len(list(ImageSource(folder))) == 1
    with pytest.warns(match='left out: image 1: an image of 3 bytes'):
        assert len(list(ImageSource([PIXELS, b'cut']))) == 1


def test_a_broken_file_alone_is_an_error(folder):
    (folder / 'a.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'a\.png cannot be read'):
        list(ImageSource(folder / 'a.png'))
    with pytest.raises(ValueError, match='of 3 bytes cannot be read'):
        list(ImageSource(b'cut'))


@pytest.mark.parametrize(
    ('given', 'error', 'said'),
    [
        ('https://a.org/b.png', ValueError, 'is an address'),
        (['file:///b.png'], ValueError, 'is an address'),
        ('none.png', FileNotFoundError, r'there is no image none\.png'),
        (['none.png'], FileNotFoundError, r'there is no image none\.png'),
        (3, TypeError, 'got int'),
        (None, TypeError, 'got NoneType'),
    ],
)
def test_what_is_no_image_is_told_at_once(given, error, said):
    with pytest.raises(error, match=said):
        ImageSource(given)


def test_arrays_that_are_no_images_are_an_error_even_among_many():
    with pytest.raises(ValueError, match='scale a float image'):
        list(ImageSource([PIXELS, PIXELS.astype(float)]))


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match='within it were not looked'):
        ImageSource(tmp_path)


def test_the_order_of_channels_is_that_of_arrays_alone():
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, 'PNG')
    given = [PIXELS[..., ::-1], stream.getvalue()]
    for _, image in ImageSource(given, channel_order='bgr'):
        assert (image == PIXELS).all()


def test_a_bar_is_shown_for_many_on_stderr(capsys):
    assert list(tracked([1, 2], 2)) == [1, 2]
    captured = capsys.readouterr()
    assert 'images' in captured.err
    assert not captured.out
    assert list(tracked([1], 1)) == [1]
    assert list(tracked(iter([1, 2]), None, shown=False)) == [1, 2]
    assert not capsys.readouterr().err
