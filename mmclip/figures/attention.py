"""Where the strokes of a sketch may start: CLIPasso's attention map.

Source: CLIPasso, sec. 4.2 and fig. 6.
"""

import argparse

import numpy as np

from mmclip.figures.canvas import Sheet


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip figure attention``."""
    parser.add_argument('image')
    parser.add_argument(
        '--clip',
        metavar='NAME',
        help='as of `mmclip sketch`; default: what is at hand',
    )
    parser.add_argument('--pretrained', metavar='TAG|FILE', help='its weights')
    parser.add_argument('--strokes', type=int, default=16)


def draw(args) -> np.ndarray:
    """Draw what the command line asks for."""
    return draw_attention(args.image, args.strokes, args.clip, args.pretrained)


def draw_attention(
    image,
    strokes: int = 16,
    clip: str | None = None,
    pretrained: str | None = None,
) -> np.ndarray:
    """Draw an image, its map and the first seed's first strokes on it.

    Args:
        image: Path.
        strokes: How many start.
        clip: As of :class:`mmclip.inference.sketcher.Sketcher`.
        pretrained: Likewise.

    Returns:
        The picture, (H, W, 3) RGB.
    """
    from mmclip.clipasso.pictures import as_picture, start_picture

    model = started(image, strokes, clip, pretrained)
    photo, share = as_picture(model.images[0]), model.start_maps[0]
    first = model.strokes().drawing(0, model.size)
    sheet = Sheet(3, 3.2, 3.4)
    panels = [
        ('what is sketched', photo),
        ('where strokes may start', share),
        (f'{strokes} starts', start_picture(photo, share, first)),
    ]
    for (title, panel), axes in zip(panels, sheet.axes):
        axes.imshow(panel, 'inferno')
        axes.set_title(title)
        axes.axis('off')
    sheet.figure.supxlabel(model.saliency_name, fontsize=9)
    return sheet.picture()


def started(image, strokes: int, clip, pretrained):
    """Return the sketcher of an image with its strokes at their start."""
    import torch
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import init_default_scope

    from mmclip.clip.image import CLIPImageEncoder
    from mmclip.clipasso.timm_features import TimmEncoder
    from mmclip.inference.sketcher import Sketcher
    from mmclip.registry import DATASETS, MODELS

    cfg = Sketcher(strokes, clip=clip, pretrained=pretrained, seeds=1).cfg
    init_default_scope('mmclip')
    cfg.train_dataloader.dataset.images = [str(image)]
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    model = MODELS.build(cfg.model)
    for module in model.modules():  # mmengine's own way prints every weight
        if isinstance(module, (CLIPImageEncoder, TimmEncoder)):
            module.init_weights()
    with torch.no_grad():
        model.begin(pseudo_collate([dataset[0]]))
    return model
