"""Draw which pixels each stage of a GroupViT merges.

Pictures are uint8 (H, W, 3) RGB. B images, H x W pixels.

A group token has the same colour in every picture, so that one sees what it
stands for across images.
"""

import colorsys

import cv2
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor

from mmclip.groupvit.backbone import Grouping, GroupViTBackbone
from mmclip.registry import HOOKS

GOLDEN = 0.618034  # steps round the colour circle that never meet again
SATURATION, BRIGHTNESS = (0.95, 0.7, 0.4), (0.98, 0.75, 0.5)
GAP = 6  # white pixels between panels
IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def group_colours(count: int) -> np.ndarray:
    """Return a colour for each group token, uint8 (count, 3).

    The first ones do not depend on how many there are.
    """
    colours = [
        colorsys.hsv_to_rgb(
            k * GOLDEN % 1, SATURATION[k % 3], BRIGHTNESS[k // 3 % 3]
        )
        for k in range(count)
    ]
    return np.round(255 * np.array(colours)).astype(np.uint8)


def draw_groups(
    image: np.ndarray, labels: np.ndarray, strength: float = 0.6
) -> np.ndarray:
    """Tint an image by its groups and draw their borders.

    Args:
        image: (H, W, 3).
        labels: Group of each pixel (H, W).
        strength: How much of the colour is the group's.
    """
    colours = group_colours(int(labels.max()) + 1)[labels]
    tinted = (1 - strength) * image + strength * colours
    picture = np.round(tinted).astype(np.uint8)
    down = np.zeros(labels.shape, bool)
    down[1:] |= labels[1:] != labels[:-1]
    down[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    picture[down] = 255
    return picture


def draw_stages(
    image: np.ndarray, stages: list[np.ndarray], min_side: int = 256
) -> np.ndarray:
    """Draw an image and, right of it, the groups of every stage.

    Args:
        image: (H, W, 3).
        stages: Labels (H, W) of each stage.
        min_side: A small image is enlarged until its shorter side has so
            many pixels.

    Returns:
        One picture, as high as the (enlarged) image.
    """
    zoom = max(1.0, min_side / min(image.shape[:2]))
    size = round(image.shape[1] * zoom), round(image.shape[0] * zoom)
    large = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    gap = np.full((size[1], GAP, 3), 255, np.uint8)
    panels = [large]
    for labels in stages:
        near = cv2.resize(
            labels.astype(np.int32), size, interpolation=cv2.INTER_NEAREST
        )
        panels += [gap, draw_groups(large, near)]
    return np.concatenate(panels, axis=1)


def labels_of_stages(grouping: Grouping) -> list[np.ndarray]:
    """Return the group of every pixel (B, H, W) for each grouping block."""
    return [
        grouping.labels(stage).cpu().numpy()
        for stage in range(len(grouping.assignments))
    ]


def encoder_of(model) -> GroupViTBackbone:
    """Return the GroupViT within a model.

    Raises:
        ValueError: There is none.
    """
    for module in model.modules():
        if isinstance(module, GroupViTBackbone):
            return module
    raise ValueError(
        f'{type(model).__name__} holds no GroupViTBackbone, so it has no '
        'groups to draw: name a model of GroupViT'
    )


def statistics_of(model) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of RGB that a model expects, (3, 1, 1)."""
    preprocessor = getattr(model, 'data_preprocessor', None)
    if getattr(preprocessor, 'mean', None) is not None:
        return preprocessor.mean, preprocessor.std
    return tuple(torch.tensor(s).view(3, 1, 1) for s in IMAGENET)


@torch.no_grad()
def draw_batch(model, inputs: Tensor, min_side: int = 256) -> list[np.ndarray]:
    """Draw the groups of normalised images.

    The model is as it was afterwards, training mode and random numbers
    included.

    Args:
        model: Any that holds a GroupViT.
        inputs: Normalised images (B, 3, H, W).
        min_side: See :func:`draw_stages`.
    """
    encoder = encoder_of(model)
    mode = encoder.training
    encoder.eval()  # without Gumbel noise
    try:
        stages = labels_of_stages(encoder.encode(inputs))
    finally:
        encoder.train(mode)
    mean, std = (s.to(inputs) for s in statistics_of(model))
    rgb = (inputs * std + mean).clamp(0, 255).round().byte()
    images = rgb.permute(0, 2, 3, 1).cpu().numpy()
    return [
        draw_stages(image, [labels[k] for labels in stages], min_side)
        for k, image in enumerate(images)
    ]


@HOOKS.register_module()
class GroupPicturesHook(Hook):
    """Draw groups while they form, into the run's visualizer.

    The first images of the run's first batch are drawn again and again, so
    that one picture after the other shows how the groups change.

    Args:
        interval: Iterations between pictures; the first one shows what the
            start was like.
        count: Images.
        min_side: See :func:`draw_stages`.
    """

    priority = 'LOW'

    def __init__(
        self, interval: int = 500, count: int = 4, min_side: int = 256
    ) -> None:
        self.interval, self.count, self.min_side = interval, count, min_side
        self.inputs: Tensor | None = None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Keep the first images, and draw them when it is time."""
        if not is_main_process():
            return
        if self.inputs is None:
            self.inputs = self._first(runner, data_batch)
        if runner.iter % self.interval == 0:
            self.draw(runner)

    def after_train(self, runner):
        """Draw what came out."""
        if is_main_process() and self.inputs is not None:
            self.draw(runner)

    def _first(self, runner, data_batch) -> Tensor:
        few = data_batch['inputs'][: self.count]
        model = unwrapped(runner.model)
        return model.data_preprocessor(dict(inputs=few), False)['inputs']

    def draw(self, runner) -> None:
        """Add the pictures of now to the visualizer."""
        model = unwrapped(runner.model)
        pictures = draw_batch(model, self.inputs, self.min_side)
        for k, picture in enumerate(pictures):
            runner.visualizer.add_image(
                f'groups_{k:02d}', picture, step=runner.iter
            )


def unwrapped(model):
    """Return the model without its distributed wrapper."""
    return model.module if is_model_wrapper(model) else model
