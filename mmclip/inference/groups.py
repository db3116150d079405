"""Show on pictures which pixels each stage of a GroupViT merges.

Images are uint8 (H, W, 3) RGB.
"""

import argparse
from pathlib import Path

import numpy as np

from mmclip.inference.image import list_images, load_image, stems
from mmclip.inference.source import ImageSource, LeftOut, tracked


def add_groups_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip groups``."""
    parser.add_argument(
        'images', nargs='+', metavar='IMAGE', help='files or folders'
    )
    parser.add_argument(
        '--model',
        required=True,
        metavar='NAME|WORK_DIR|FILE',
        help='a name of `mmclip models`, work directory of a training, or a '
        'checkpoint; `random` for untrained weights',
    )
    parser.add_argument(
        '--config', help='its config, where the checkpoint does not hold it'
    )
    parser.add_argument(
        '--size',
        type=int,
        help='shorter side of the images in pixels; default: what the model '
        'was trained with',
    )
    parser.add_argument(
        '--out', default='outputs', metavar='DIR', help='where pictures go'
    )
    parser.add_argument(
        '--device',
        help='such as cuda:0; default: the first accelerator, else cpu',
    )


def run(args) -> int:
    """Draw every image's groups; print how many each stage uses."""
    from mmclip.visualization import save_picture

    files = list_images(args.images)
    broken = LeftOut()
    source = ImageSource(files, on_broken=broken)
    grouper = Grouper(
        args.model, config=args.config, size=args.size, device=args.device
    )
    names = dict(zip(map(str, files), stems(files)))
    for path, image in tracked(source, len(files)):
        found = grouper(image)
        target = Path(args.out) / f'{names[path]}.png'
        save_picture(target, found['picture'])
        used = ', '.join(
            f'{len(np.unique(labels))} of {count}'
            for labels, count in zip(found['labels'], found['counts'])
        )
        print(f'{path}: {used} groups -> {target}')
    return broken.exit_code()


class Grouper:
    """A GroupViT that shows its groups.

    Args:
        model: Work directory of a training, checkpoint file, or ``'random'``
            for untrained weights (of the published network, or of
            ``config``).
        config: Path of its config; None takes the one in the checkpoint.
        size: Shorter side of the images in pixels; None for that of
            training.
        device: Such as 'cuda:0'; None takes the first accelerator, else the
            CPU.
    """

    def __init__(
        self,
        model: str,
        *,
        config: str | None = None,
        size: int | None = None,
        device: str | None = None,
    ) -> None:
        from mmengine.device import get_device

        from mmclip.groupvit.pictures import encoder_of

        self.device = device or get_device()
        self.model = build_model(model, config).to(self.device).eval()
        encoder = encoder_of(self.model)
        trained = encoder.native_grid[0] * encoder.patch_embed.patch_size
        self.size = size or trained

    def __call__(self, image, channel_order: str = 'rgb') -> dict:
        """Group the pixels of an image.

        Args:
            image: Path, uint8 array (H, W[, 3]) or PIL image.
            channel_order: 'rgb' or 'bgr': the order of an array's channels.

        Returns:
            ``labels``: for each grouping stage the group of every pixel
            (H', W'), at the size the model saw; ``counts``: how many groups
            each stage has; ``picture``: the image and its groups.
        """
        import torch

        from mmclip.groupvit.pictures import (
            draw_stages,
            encoder_of,
            labels_of_stages,
            statistics_of,
        )

        picture = self.resize(load_image(image, channel_order))
        pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)
        mean, std = (s.to(self.device) for s in statistics_of(self.model))
        inputs = (pixels.to(self.device).float() - mean) / std
        with torch.no_grad():
            grouping = encoder_of(self.model).encode(inputs[None])
        labels = [stage[0] for stage in labels_of_stages(grouping)]
        return dict(
            labels=labels,
            counts=[shares.shape[1] for shares in grouping.assignments],
            picture=draw_stages(picture, labels),
        )

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Bring the shorter side to ``size``."""
        import cv2

        zoom = self.size / min(image.shape[:2])
        sides = [max(1, round(side * zoom)) for side in image.shape[1::-1]]
        return cv2.resize(image, sides, interpolation=cv2.INTER_AREA)


def build_model(model: str, config: str | None):
    """Build the model of a checkpoint, or an untrained one."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmclip.inference import trained
    from mmclip.inference.named import source_of
    from mmclip.registry import MODELS

    if model == 'random':
        fresh = dict(model=dict(type='mmclip.GroupViTPretrainer'))
        cfg = Config(fresh)
        if config is not None:
            cfg = trained.read_config(config, {}, None)
        init_default_scope(cfg.get('default_scope', 'mmclip'))
        return MODELS.build(trained.without_pretrained(cfg.model))
    path, config = source_of(model, config, 'segmentation')
    saved = trained.read_checkpoint(path)
    cfg = trained.read_config(config, saved, path)
    init_default_scope(cfg.get('default_scope', 'mmclip'))
    return trained.build_model(cfg, saved, path)
