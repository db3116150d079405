from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from torch import nn

from mmclip.groupvit.pictures import (
    GroupPicturesHook,
    draw_batch,
    draw_groups,
    draw_stages,
    encoder_of,
    group_colours,
)
from tests.groupvit.tiny import backbone, images, pretrainer


def test_a_token_keeps_its_colour_and_differs_from_the_others():
    few, many = group_colours(8), group_colours(64)
    assert (few == many[:8]).all()
    gaps = np.abs(many[:, None].astype(int) - many).sum(axis=-1)
    assert (gaps + 999 * np.eye(64)).min() > 30
    nearest = np.abs(few[:, None].astype(int) - few).sum(axis=-1)
    assert (nearest + 999 * np.eye(8, dtype=int)).min() > 140


def test_pixels_take_their_groups_colour_and_borders_are_white():
    image = np.full((4, 6, 3), 100, np.uint8)
    labels = np.array([[0] * 3 + [5] * 3] * 4)
    picture = draw_groups(image, labels, strength=1.0)
    colours = group_colours(6)
    assert (picture[:, :3] == colours[0]).all()
    assert (picture[:, 3] == 255).all()
    assert (picture[:, 4:] == colours[5]).all()


def test_each_stage_has_a_panel_beside_the_image():
    image = np.zeros((10, 20, 3), np.uint8)
    stages = [np.zeros((10, 20), np.int64)] * 2
    assert draw_stages(image, stages, min_side=0).shape == (10, 72, 3)
    assert draw_stages(image, stages, min_side=40).shape == (40, 252, 3)


def test_a_batch_is_drawn_without_leaving_a_trace():
    model = pretrainer().train()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    inputs = images(2)
    random = torch.get_rng_state()
    pictures = draw_batch(model, inputs, min_side=32)
    assert [p.shape for p in pictures] == [(32, 108, 3)] * 2
    assert (torch.get_rng_state() == random).all()
    assert model.img_encoder.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


def test_the_picture_is_the_image_before_it_was_normalised():
    model = backbone()
    model.data_preprocessor = ImgDataPreprocessor([120.0] * 3, [60.0] * 3)
    pixels = torch.randint(0, 256, (1, 3, 32, 32)).float()
    (picture,) = draw_batch(model, (pixels - 120) / 60, min_side=0)
    expected = pixels[0].permute(1, 2, 0).numpy()
    assert (picture[:, :32] == expected).all()


class Visualizer:
    def __init__(self):
        self.seen = []

    def add_image(self, name, image, step):
        self.seen.append((name, step, image.shape))


def run_of(model, length, hook):
    visualizer = Visualizer()
    runner = SimpleNamespace(model=model, visualizer=visualizer)
    for runner.iter in range(length):
        batch = dict(inputs=[torch.full((3, 32, 32), runner.iter)] * 3)
        hook.before_train_iter(runner, runner.iter, batch)
    hook.after_train(runner)
    return visualizer.seen


def test_the_same_images_are_drawn_while_training_goes_on():
    model = pretrainer(
        data_preprocessor=dict(
            type='mmengine.ImgDataPreprocessor',
            mean=[120.0] * 3,
            std=[60.0] * 3,
        )
    )
    hook = GroupPicturesHook(interval=2, count=2, min_side=32)
    seen = run_of(model, 5, hook)
    assert [(name, step) for name, step, _ in seen] == [
        (f'groups_{k:02d}', step) for step in (0, 2, 4, 4) for k in (0, 1)
    ]
    assert seen[0][2] == (32, 108, 3)
    assert hook.inputs.unique().tolist() == [-2.0]  # the first batch


def test_a_model_without_groups_is_refused():
    with pytest.raises(ValueError, match='no GroupViTBackbone'):
        encoder_of(nn.Linear(2, 2))
