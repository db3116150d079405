"""Embed boxes of images with a frozen CLIP: what ViLD's image branch learns.

R boxes over all images, S scales of a box, D embedding width.
"""

import hashlib
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clip.weights import SHAPES_CLIP, load_clip
from mmclip.vild.crops import crop_boxes

MODE_OF = dict(shortest='crop', squash='squash')  # open_clip's words: ours


class CropEncoder(nn.Module):
    """Embed a box as the normalised sum of its crops' embeddings.

    The crops are the box and the box times 1.5; their embeddings are summed
    as they leave the tower and the sum is brought to length 1 (ViLD,
    sec. 3.3, and DetPro).

    Args:
        model: As in :func:`mmclip.clip.weights.load_clip`.
        pretrained: As there. Random weights must be asked for by ``seed``.
        scales: Factors of a box's sides, one crop each.
        mode: ``'crop'``, ``'squash'`` or ``'square'``, see
            :func:`mmclip.vild.crops.crop_boxes`; ``None`` takes what the CLIP
            was trained with.
        image_size: Side of a crop; ``None`` takes the CLIP's own.
        batch_size: Crops a pass through the tower.
        seed: Draws random weights where there are no others, for trials.

    Attributes:
        clip (str): Name of the model and its weights.
        weights (str): sha256 of the image tower's parameters and buffers.
        embed_dims (int): D.

    Raises:
        ValueError: The model has no weights and no seed was given, or an
            argument is out of range.
    """

    def __init__(
        self,
        model: str | dict = SHAPES_CLIP,
        pretrained: str | None = None,
        *,
        scales: tuple[float, ...] = (1.0, 1.5),
        mode: str | None = None,
        image_size: int | None = None,
        batch_size: int = 256,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if not scales or min(scales) <= 0 or batch_size < len(scales):
            raise ValueError(
                f'scales={scales} and batch_size={batch_size}: expected '
                'factors above 0 and at least one crop of each in a batch'
            )
        self.clip = clip_name(model, pretrained, seed)
        clip = load_seeded(model, pretrained, seed)
        self.weights = tower_hash(clip.visual)
        settings = getattr(clip.visual, 'preprocess_cfg', None) or {}
        self.encoder = CLIPImageEncoder(clip)
        self.scales = tuple(float(scale) for scale in scales)
        self.mode = mode or MODE_OF.get(settings.get('resize_mode'), 'crop')
        self.image_size = image_size or native_size(clip.visual)
        self.batch_size = batch_size
        self.embed_dims = self._width()

    @torch.no_grad()
    def _width(self) -> int:
        side = self.image_size
        return self.encoder.pooled(torch.zeros(1, 3, side, side)).shape[1]

    @property
    def parameter(self) -> Tensor:
        """Any parameter: its device and type are the encoder's."""
        return next(self.parameters())

    @torch.no_grad()
    def forward(
        self, images: Iterable[Tensor], boxes: Iterable[Tensor]
    ) -> list[Tensor]:
        """Embed the boxes of images; batches run across the images.

        Args:
            images: RGB (3, H, W) in [0, 255], of any sizes; read one by one.
            boxes: For each its boxes (R_i, 4), xyxy pixels.

        Returns:
            For each image unit embeddings (R_i, D), float32.
        """
        counts, rows = [], []
        for crops in self.batches(self.crops(images, boxes, counts)):
            rows.append(self.embed(crops))
        if not counts:
            return []
        none = self.parameter.new_zeros(0, self.embed_dims).float()
        return list(torch.cat([none, *rows]).split(counts))

    def crops(self, images, boxes, counts: list[int]) -> Iterator[Tensor]:
        """Yield the S crops of each box, (S, 3, side, side); count boxes."""
        device = self.parameter.device
        for image, some in zip(images, boxes):
            counts.append(len(some))
            image, some = image.to(device), some.to(device)
            cuts = (
                crop_boxes(image, some, scale, self.image_size, self.mode)
                for scale in self.scales
            )
            for crops in zip(*cuts):
                yield torch.stack(crops)

    def batches(self, crops: Iterator[Tensor]) -> Iterator[Tensor]:
        """Collect boxes, (r, S, 3, side, side) with r * S <= batch_size."""
        limit, batch = self.batch_size // len(self.scales), []
        for crop in crops:
            batch.append(crop)
            if len(batch) == limit:
                yield torch.stack(batch)
                batch = []
        if batch:
            yield torch.stack(batch)

    def embed(self, crops: Tensor) -> Tensor:
        """Embed boxes (r, S, 3, side, side) in [0, 255]: (r, D), float32."""
        images = self.encoder.normalise(crops.flatten(0, 1).float() / 255)
        with torch.autocast(images.device.type, enabled=False):
            each = self.encoder.pooled(
                images.to(self.parameter.dtype), normalize=False
            )  # (r * S, D)
        return sum_of_scales(each.float().unflatten(0, crops.shape[:2]))


def sum_of_scales(embeddings: Tensor) -> Tensor:
    """Sum the scales' embeddings (R, S, D) and normalise: (R, D)."""
    return F.normalize(embeddings.sum(dim=1), dim=-1)


def clip_name(model: str | dict, pretrained, seed: int | None) -> str:
    """Name a CLIP and its weights; random ones are called random.

    Raises:
        ValueError: There are no weights and no seed.
    """
    name = model if isinstance(model, str) else 'own config'
    if pretrained is not None:
        return f'{name} {pretrained}'
    if model == SHAPES_CLIP:
        return name
    if seed is None:
        raise ValueError(
            f"'{name}' would get random weights, which teach nothing: name "
            'pretrained=(a tag such as openai, or a file), or give a seed to '
            'try the machinery with random ones'
        )
    return f'{name} (random weights, seed {seed})'


def load_seeded(model, pretrained, seed: int | None) -> nn.Module:
    """Load a CLIP; random weights come from ``seed`` and nothing else."""
    if seed is None:
        return load_clip(model, pretrained)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load_clip(model, pretrained)[0]


def native_size(visual: nn.Module) -> int:
    """Return the side of the images that a tower was trained on.

    Raises:
        ValueError: It takes no square images.
    """
    size = visual.image_size
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) > 1:
        raise ValueError(
            f'this CLIP takes images of {size}: give image_size, the side of '
            'square crops'
        )
    return int(sides.pop())


def tower_hash(tower: nn.Module) -> str:
    """Return the sha256 of all parameters and buffers of a tower."""
    digest = hashlib.sha256()
    for name, value in sorted(tower.state_dict().items()):
        digest.update(f'{name} {tuple(value.shape)} {value.dtype}'.encode())
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy())
    return digest.hexdigest()
