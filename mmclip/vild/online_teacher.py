"""Ask a frozen CLIP while training, about boxes of the batch at hand.

B images, N boxes of each, D embedding width.
"""

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmclip.registry import MODELS
from mmclip.vild.crop_encoder import CropEncoder

SOURCES = ('rpn', 'random')


@MODELS.register_module()
class OnlineTeacher(nn.Module):
    """Crop boxes out of the network's own input and embed them.

    No cache, and the crops follow every augmentation; the price is the
    tower's forward pass in each iteration. The CLIP is no submodule: it is in
    no checkpoint, no optimizer and no gradient synchronisation.

    Args:
        model: As for :class:`mmclip.vild.crop_encoder.CropEncoder`.
        pretrained: As there.
        num: N, boxes an image.
        boxes_from: ``'rpn'`` samples them among the proposals of this
            iteration; ``'random'`` takes annotated boxes, moved and scaled
            ones, and boxes anywhere.
        add_gt: Whether the annotated boxes are among them.
        min_size: Shorter sides, in pixels, are not taken.
        half: Whether the tower runs in half precision on CUDA.
        **kwargs: Further arguments of CropEncoder (scales, mode, ...).

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        model: str | dict,
        pretrained: str | None = None,
        *,
        num: int = 64,
        boxes_from: str = 'rpn',
        add_gt: bool = True,
        min_size: float = 4.0,
        half: bool = True,
        **kwargs,
    ):
        super().__init__()
        if num < 1 or boxes_from not in SOURCES:
            raise ValueError(
                f'num={num}, boxes_from={boxes_from!r}: expected at least one '
                f'box an image, from one of {SOURCES}'
            )
        self.num, self.boxes_from, self.add_gt = num, boxes_from, add_gt
        self.min_size, self.half = min_size, half
        # In a tuple, so that it is no submodule and reaches no checkpoint.
        self._encoder = (CropEncoder(model, pretrained, **kwargs),)

    @property
    def encoder(self) -> CropEncoder:
        """The frozen CLIP."""
        return self._encoder[0]

    @property
    def embed_dims(self) -> int:
        """D."""
        return self.encoder.embed_dims

    def __deepcopy__(self, memo):
        """Share the CLIP, which nothing changes, with copies (EMA's)."""
        memo[id(self._encoder)] = self._encoder
        copy = self.__class__.__new__(self.__class__)
        copy.__dict__.update(self.__dict__)
        return copy

    @torch.no_grad()
    def forward(
        self, inputs: Tensor, samples: list, preprocessor, proposals=None
    ) -> None:
        """Give each data sample its ``distill_instances``.

        Args:
            inputs: What the detector sees, (B, 3, H, W).
            samples: Their data samples, with ``gt_instances``.
            preprocessor: mmdet's, whose normalisation is undone.
            proposals: For each image InstanceData with ``bboxes``; needed
                with ``boxes_from='rpn'``.
        """
        pictures = restore(inputs, samples, preprocessor)
        boxes = [
            self.choose(sample, proposals and proposals[i].bboxes)
            for i, sample in enumerate(samples)
        ]
        self.place(inputs)
        for sample, some, rows in zip(
            samples, boxes, self.encoder(pictures, boxes)
        ):
            sample.distill_instances = InstanceData(
                bboxes=some, embeddings=rows, weights=rows.new_ones(len(rows))
            )

    def place(self, inputs: Tensor) -> None:
        """Bring the CLIP to the device of the inputs."""
        half = self.half and inputs.is_cuda
        self.encoder.to(inputs.device, torch.half if half else torch.float)

    def choose(self, sample, proposals: Tensor | None) -> Tensor:
        """Choose up to N boxes (N, 4) inside the picture of a sample."""
        truth = plain(sample.gt_instances.bboxes).float()
        if self.boxes_from == 'rpn':
            others = proposals.detach().float()
        else:
            others = random_boxes(truth, sample.img_shape, 2 * self.num)
        others = inside(others, sample.img_shape, self.min_size)
        others = others[torch.randperm(len(others)).to(others.device)]
        if self.add_gt:
            truth = inside(truth, sample.img_shape, self.min_size)
            others = torch.cat([truth, others])
        return others[: self.num]


def plain(boxes) -> Tensor:
    """Return boxes as a tensor, of mmdet's box types too."""
    return getattr(boxes, 'tensor', boxes)


def inside(boxes: Tensor, shape, min_size: float) -> Tensor:
    """Clip boxes to a picture (height, width); drop what becomes too small."""
    high = boxes.new_tensor([shape[1], shape[0]] * 2)
    boxes = torch.minimum(boxes.clamp(min=0), high)
    return boxes[(boxes[:, 2:] - boxes[:, :2]).amin(1) >= min_size]


def random_boxes(truth: Tensor, shape, num: int) -> Tensor:
    """Draw ``num`` boxes: half near the annotated ones, half anywhere.

    Near means a centre moved by up to a quarter of a side and sides between
    two thirds and one and a half times as long. Anywhere means a centre in
    the picture and sides from a sixteenth of it to the whole, on a
    logarithmic scale.
    """
    near = num // 2 if len(truth) else 0
    draw = torch.rand(num, 4).to(truth)  # drawn on the CPU: RNGStateHook
    size = truth.new_tensor([shape[1], shape[0]])
    picked = truth[torch.randint(len(truth) or 1, (near,)).to(truth.device)]
    sides = picked[:, 2:] - picked[:, :2]
    middle = (picked[:, :2] + picked[:, 2:]) / 2
    middle = middle + (draw[:near, :2] - 0.5) / 2 * sides
    sides = sides * 1.5 ** (2 * draw[:near, 2:] - 1)
    centre = torch.cat([middle, draw[near:, :2] * size])
    half = torch.cat([sides, size * 16 ** (draw[near:, 2:] - 1)]) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def restore(inputs: Tensor, samples: list, preprocessor) -> list[Tensor]:
    """Undo a preprocessor: RGB pictures (3, h, w) in [0, 255], unpadded.

    mmdet's loaders give BGR, which ``bgr_to_rgb`` turns; channels that were
    not turned are turned here.
    """
    return [
        image[:, : sample.img_shape[0], : sample.img_shape[1]]
        for image, sample in zip(denormalise(inputs, preprocessor), samples)
    ]


def denormalise(inputs: Tensor, preprocessor) -> Tensor:
    """Return RGB images in [0, 255] of a detector's input (B, 3, H, W)."""
    images = inputs.detach().float()
    if getattr(preprocessor, '_enable_normalize', False):
        mean, std = preprocessor.mean.float(), preprocessor.std.float()
        images = images * std.to(images) + mean.to(images)
    if not getattr(preprocessor, '_channel_conversion', False):
        images = images.flip(1)
    return images.clamp(0, 255)
