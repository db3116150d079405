"""Measure how much of a sketch lies behind the object, on photographs.

For each photograph of a folder, with a mask of the same stem in another: the
share of ink that is farther than 2.7 % of the side from the object, of the
whole picture's sketch (raw), and of the foreground-weighted loss that is given
the mask, nothing (what stands out from the border), or the mask of a U2-Net;
and how much what counts as object then overlaps the mask (IoU).
EfficientNet-Lite0's ImageNet features look; photographs are cut to their
middle square. All ways have the same starts' seeds.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config

# started as a script, Python looks beside this file, not above it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.sketch_limits import ink, picture, rows, save  # noqa: E402
from benchmarks.sketch_runs import save_pictures, sketch  # noqa: E402
from mmclip.clipasso.dataset import find_images  # noqa: E402
from mmclip.clipasso.preprocess import (  # noqa: E402
    composite_on_white,
    read_picture,
    resize_to_canvas,
)
from mmclip.clipasso.transforms import middle_square, read_mask  # noqa: E402
from mmclip.clipasso.u2net import SalientForeground  # noqa: E402
from mmclip.jobs import find_config  # noqa: E402

NEAR = 6 / 224  # of the side


def read(image: Path, masks: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle square of a photograph and of its mask."""
    whole = composite_on_white(read_picture(image))
    mask = read_mask(next(masks.glob(f'{image.stem}.*')), whole.shape[:2])
    small = cv2.resize(
        middle_square(mask).astype(np.float32),
        (side, side),
        interpolation=cv2.INTER_AREA,
    )
    return resize_to_canvas(middle_square(whole), side), small >= 0.5


def leak(drawn: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of ink (H, W) that is far from a mask."""
    reach = 2 * round(NEAR * len(mask)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    near = cv2.dilate(mask.astype(np.uint8), disc) > 0
    return float(drawn[~near].sum() / max(drawn.sum(), 1e-6))


def models(side: int, views: int) -> tuple[dict, dict]:
    """Return the config of the sketcher, plain and foreground-weighted."""
    path = find_config('clipasso_efficientnet-lite0_16strokes')
    plain = Config.fromfile(path).model.to_dict()
    plain['num_seeds'] = 1
    plain['augment'].update(num_views=views, size=side)
    layers = plain['losses'][0]['layers']
    weighted = dict(
        type='mmclip.ForegroundWeightedLoss', layers=layers, semantic=0.0
    )
    return plain, dict(plain, losses=[weighted])


def overlap(found: np.ndarray, mask: np.ndarray) -> float:
    """Return the intersection over union of masks (H, W)."""
    return float((found & mask).sum() / max((found | mask).sum(), 1))


def shown(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Show the part of a photograph that a mask keeps, on white."""
    return np.where(mask[..., None], image, np.uint8(255))


def main(argv: list[str] | None = None) -> int:
    """Sketch all; print leaks, save a sheet."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('--images', type=Path, required=True, help='folder of photographs')
    add('--masks', type=Path, required=True, help='folder of their masks')
    add('--u2net', help='weights of U2-Net or U2-Net-p')
    add('--side', type=int, default=160)
    add('--views', type=int, default=2)
    add('--iters', type=int, default=150)
    add('--picture', type=Path, help='where a sheet goes')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    files = find_images(args.images)
    photos, masks = zip(*(read(f, args.masks, args.side) for f in files))
    plain, weighted = models(args.side, args.views)
    ways = {
        'raw': (plain, None),
        'weighted': (weighted, masks),
        'no mask given': (weighted, None),
    }
    if args.u2net:
        salient = SalientForeground(args.u2net)
        ways['U2-Net'] = (weighted, [salient(photo) for photo in photos])
    lines = [list(photos)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = save_pictures(folder, 'photo', photos)
        print('ink leak: ' + ' '.join(f.stem for f in files))
        for way, (model, given) in ways.items():
            place = folder / way.replace(' ', '_')
            rest = {}
            if given is not None:
                whites = [np.uint8(255 * mask) for mask in given]
                whites = save_pictures(place / 'masks', 'photo', whites)
                rest = dict(masks=whites, whiten=False)
            runner, found = sketch(place, images, model, args.iters, **rest)
            leaks = [
                leak(ink(each.drawing), mask)
                for each, mask in zip(found, masks)
            ]
            each = ' '.join(f'{value:.2f}' for value in leaks)
            print(f'  {way:14} {np.mean(leaks):.3f}  ({each})', flush=True)
            if way == 'no mask given':
                relevance = runner.model.losses[0].relevance
                given = relevance[:, 0].numpy() > 0
                lines.insert(1, list(map(shown, given, photos)))
            if given is not None:
                each = [overlap(g, m) for g, m in zip(given, masks)]
                print(f'    overlaps the object by {np.mean(each):.2f}')
            lines.append([picture(each.drawing) for each in found])
    if args.picture:
        save(args.picture, rows(*lines))
    return 0


if __name__ == '__main__':
    sys.exit(main())
