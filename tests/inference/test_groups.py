import numpy as np
import pytest
import torch
from PIL import Image

from mmclip.cli import main
from mmclip.groupvit.convert import settings_of, write
from mmclip.inference.groups import Grouper
from tests.groupvit.tiny import TOWERS, pretrainer

HEADS = dict(img_encoder=dict(TOWERS['img_encoder'], num_heads=1))


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A checkpoint as ``mmclip convert groupvit`` writes it."""
    path = tmp_path_factory.mktemp('groups') / 'tiny.safetensors'
    state = {k: v.numpy() for k, v in pretrainer(**HEADS).state_dict().items()}
    shapes = {name: array.shape for name, array in state.items()}
    write(path, state, 'ours', settings_of(shapes))
    return str(path)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'scene.png'
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def test_a_command_draws_every_stage_and_says_what_was_used(
    checkpoint, picture, tmp_path, capsys
):
    out = tmp_path / 'drawn'
    options = ['--out', str(out), '--device', 'cpu']
    assert main(['groups', picture, '--model', checkpoint, *options]) == 0
    drawn = Image.open(out / 'scene.png')
    assert drawn.height == 256
    assert drawn.width == 3 * 384 + 2 * 6
    assert ' of 6, ' in capsys.readouterr().out


def test_a_folder_is_drawn_and_its_broken_files_told(
    checkpoint, picture, tmp_path, capsys
):
    (tmp_path / 'broken.png').write_bytes(b'no image')
    words = ['groups', str(tmp_path), '--model', checkpoint, '--device', 'cpu']
    assert main([*words, '--out', str(tmp_path / 'drawn')]) == 1
    assert 'broken.png cannot be read' in capsys.readouterr().err
    assert (tmp_path / 'drawn/scene.png').is_file()


def test_labels_have_the_size_that_the_model_saw(checkpoint, picture):
    found = Grouper(checkpoint, device='cpu', size=64)(picture)
    assert [labels.shape for labels in found['labels']] == [(64, 96)] * 2
    assert found['counts'] == [6, 3]
    assert Grouper(checkpoint, device='cpu').size == 32


def test_the_groups_are_those_of_the_network(checkpoint):
    model = pretrainer(**HEADS).eval()
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    found = Grouper(checkpoint, device='cpu')(pixels)
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    inputs = (torch.from_numpy(pixels).permute(2, 0, 1) - mean) / std
    with torch.no_grad():
        grouping = model.img_encoder.encode(inputs[None])
    for stage in (0, 1):
        expected = grouping.labels(stage)[0].numpy()
        assert (found['labels'][stage] == expected).all()


def test_a_checkpoint_that_is_not_there_is_said(picture, capsys):
    assert main(['groups', picture, '--model', 'nowhere.pth']) == 1
    assert 'there is no checkpoint nowhere.pth' in capsys.readouterr().err
