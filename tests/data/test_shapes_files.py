"""Files whose bytes no library decides."""

import io
import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image

from mmclip.data.shapes_files import png_bytes, tar_bytes, write_file


@pytest.mark.parametrize('shape', [(3, 5), (1, 1, 3), (200, 150, 3)])
def test_png_files_read_back_everywhere(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    content = png_bytes(image)
    assert (np.array(Image.open(io.BytesIO(content))) == image).all()
    read = cv2.imdecode(np.frombuffer(content, np.uint8), -1)
    assert ((read if len(shape) == 2 else read[..., ::-1]) == image).all()


@pytest.mark.parametrize('shape', [(3,), (2, 2, 4), (2, 2, 1)])
def test_other_arrays_are_no_images(shape):
    with pytest.raises(ValueError, match='expected uint8'):
        png_bytes(np.zeros(shape, np.uint8))


def test_floats_are_no_images():
    with pytest.raises(ValueError, match='got an image float64'):
        png_bytes(np.zeros((2, 2)))


def test_tar_members_keep_their_order_and_carry_no_time_or_owner():
    content = tar_bytes({'b.txt': b'one', 'a.txt': b''})
    assert content == tar_bytes({'b.txt': b'one', 'a.txt': b''})
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == ['b.txt', 'a.txt']
        assert tar.extractfile(members[0]).read() == b'one'
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {
        (0, 0, 0, '')
    }


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    target = tmp_path / 'new' / 'a.txt'
    write_file(target, b'old')
    monkeypatch.setattr('os.replace', lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_file(target, b'new')
    assert target.read_bytes() == b'old'
