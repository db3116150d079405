"""A pretraining's checkpoint answers ``segment`` and the commands."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmclip import segment
from mmclip.cli import main
from mmclip.registry import MODELS
from tests.groupvit.test_from_pretraining import PRETRAINER
from tests.groupvit.tiny import sharpened


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A checkpoint as a pretraining saves it."""
    path = tmp_path_factory.mktemp('pretrained') / 'iter_1.pth'
    torch.manual_seed(0)
    model = MODELS.build(PRETRAINER)
    sharpened(model.img_encoder)
    text = f"default_scope = 'mmengine'\nmodel = {PRETRAINER!r}\n"
    meta = dict(cfg=text)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


@pytest.mark.parametrize('size', [(40, 60), (17, 9)])
def test_an_image_is_segmented_by_names(checkpoint, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    found = segment(
        pixels, 'background . red circle . blue star', model=checkpoint
    )
    assert found['labels'].shape == size
    assert found['names'] == ['background', 'red circle', 'blue star']
    named = segment(pixels, ['red circle', 'blue star'], model=checkpoint)
    assert named['labels'].max() <= 1


def test_commands_take_it(checkpoint, tmp_path):
    path = tmp_path / 'scene.png'
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    options = ['--model', checkpoint, '--out', str(tmp_path / 'out')]
    names = ['--text', 'background . red circle . blue star']
    assert main(['segment', str(path), *names, *options, '--debug']) == 0
    assert main(['embed-pixels', str(path), *options, '--debug']) == 0
    assert list((tmp_path / 'out').iterdir())


def test_the_inferencer_of_mmseg_works_with_the_packaged_model(tmp_path):
    from mmseg.apis import MMSegInferencer

    from mmclip.clip.scheme import PACKAGED
    from mmclip.jobs import find_config

    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    weights = str(PACKAGED['groupvit-shapes'])
    config = find_config('groupvit_test_shapes')
    names = ['background', 'red circle', 'blue square']
    inferencer = MMSegInferencer(
        model=config,
        weights=weights,
        classes=names,
        palette=[[0, 0, 0], [255, 0, 0], [0, 0, 255]],
        device='cpu',
    )
    inferencer.model.set_vocabulary(names)
    found = inferencer(np.ascontiguousarray(pixels[..., ::-1]))
    wanted = segment(pixels, names, model='mmclip://groupvit-shapes')
    assert (found['predictions'] == wanted['labels']).all()
