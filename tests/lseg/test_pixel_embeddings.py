import numpy as np
import pytest
import torch

from mmclip.lseg.pixel_embeddings import (
    pixel_embeddings,
    principal,
    save_embeddings,
)
from tests.lseg.tiny import tiny_lseg


@pytest.fixture(scope='module')
def model():
    return tiny_lseg()


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (50, 67, 3), np.uint8)


@pytest.mark.parametrize(('stride', 'size'), [(2, (25, 34)), (4, (13, 17))])
def test_an_image_becomes_unit_embeddings_in_half_precision(
    model, image, stride, size
):
    found = pixel_embeddings(model, image, stride=stride)
    assert found.shape == (16, *size)
    assert found.dtype == torch.float16
    norm = found.float().norm(dim=0)
    torch.testing.assert_close(norm, torch.ones(size), rtol=0, atol=2e-3)


def test_colours_and_range_are_those_of_the_preprocessor(model, image):
    found = pixel_embeddings(model, image, dtype=torch.float32)
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        wanted = model.pixel_embeddings(x)
    torch.testing.assert_close(found, wanted[0])


def test_all_components_give_the_embeddings_back():
    torch.manual_seed(0)
    whole = torch.randn(6, 4, 5)
    coordinates, axes, mean = principal(whole, 6)
    back = axes.T @ coordinates.flatten(1) + mean[:, None]
    torch.testing.assert_close(back, whole.flatten(1))
    torch.testing.assert_close(axes @ axes.T, torch.eye(6))
    spread = coordinates.flatten(1).var(dim=1)
    assert (spread.diff() <= 1e-5).all()


def test_one_pixel_is_embedded(model):
    found = pixel_embeddings(model, np.zeros((1, 1, 3), np.uint8), stride=4)
    assert found.shape == (16, 1, 1)


def test_a_file_holds_what_was_asked_for(tmp_path, model, image):
    found = pixel_embeddings(model, image)
    save_embeddings(tmp_path / 'a.npz', found, stride=2)
    save_embeddings(tmp_path / 'b.npz', found, components=3)
    with np.load(tmp_path / 'a.npz', allow_pickle=False) as file:
        assert (file['embeddings'] == found.numpy()).all()
        assert file['stride'] == 2
    with np.load(tmp_path / 'b.npz', allow_pickle=False) as file:
        assert file['coordinates'].shape == (3, 25, 34)
        assert file['coordinates'].dtype == np.float16
        assert file['axes'].shape == (3, 16)
    assert {p.name for p in tmp_path.iterdir()} == {'a.npz', 'b.npz'}


def test_other_strides_and_too_many_components_are_refused(model, image):
    with pytest.raises(ValueError, match='stride=3'):
        pixel_embeddings(model, image, stride=3)
    with pytest.raises(ValueError, match='components=7'):
        principal(torch.randn(6, 4, 5), 7)
