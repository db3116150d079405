"""Draw the gallery of docs/en/clipasso.md: photographs and shapes scenes.

``python tools/draw_sketch_gallery.py --photos DIR`` sketches the pictures of a
folder (transparent where the background was cut away) with the network that
is at hand, and scenes of the shapes world with shapes-clip. It writes one
sheet for each network, which names it, and every sketch as SVG.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmclip.clipasso.dataset import find_images
from mmclip.clipasso.export import draw_picture, write_whole
from mmclip.clipasso.preprocess import composite_on_white, read_picture
from mmclip.clipasso.svg import parse_svg
from mmclip.data.shapes import draw_scene
from mmclip.inference.sketcher import Sketcher

SEEDS = (12, 31, 44)  # of the shapes scenes
SIDE = 200  # pixels of a picture on a sheet
LINE = 18  # pixels of a line of text


def shapes_scene(seed: int) -> Image.Image:
    """Draw one large object, transparent around it."""
    scene = draw_scene(seed, 96, objects=(1, 1), radius=(0.3, 0.36))
    alpha = np.uint8(scene.objects[0].mask) * 255
    return Image.fromarray(np.dstack([scene.image, alpha]))


def on_square(picture: Image.Image) -> np.ndarray:
    """Lay a picture on a white square of the sheet."""
    square = Image.new('RGB', (SIDE, SIDE), 'white')
    shown = Image.fromarray(composite_on_white(picture))
    shown.thumbnail((SIDE, SIDE))
    corner = [(SIDE - side) // 2 for side in shown.size]
    square.paste(shown, tuple(corner))
    return np.asarray(square)


def sheet(pictures: list, found: list[dict]) -> Image.Image:
    """Put pictures above their sketches, and say which network looked."""
    photos = np.hstack([on_square(picture) for picture in pictures])
    sketches = np.hstack(
        [draw_picture(parse_svg(each['svg']), SIDE) for each in found]
    )
    texts = [
        f'{found[0]["strokes"]} strokes, best of '
        f'{len(found[0]["losses"])} starts',
        found[0]['network'],
    ]
    foot = np.full((LINE * len(texts) + 6, photos.shape[1], 3), 255, np.uint8)
    for k, text in enumerate(texts):
        cv2.putText(
            foot,
            text,
            (4, LINE * (k + 1)),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.4,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
    return Image.fromarray(np.vstack([photos, sketches, foot]))


def draw(name: str, pictures: list, sketcher: Sketcher, args) -> None:
    """Sketch pictures; write their sheet and SVGs."""
    out = args.out
    found = sketcher(
        pictures, out=args.work / name, resume=args.resume, progress=True
    )
    shown = [
        p if isinstance(p, Image.Image) else read_picture(p) for p in pictures
    ]
    picture = sheet(shown, found)
    write_whole(
        out / f'{name}.jpg',
        lambda file: picture.save(file, 'JPEG', quality=85),
    )
    for k, each in enumerate(found):
        text = each['svg']
        write_whole(
            out / f'{name}-{k + 1}.svg', lambda f, t=text: f.write_text(t)
        )
    print(f'{out / name}.jpg: {found[0]["network"]}')


def main(argv: list[str] | None = None) -> int:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--photos', help='a folder of photographs')
    parser.add_argument(
        '--out', type=Path, default=Path('docs/en/_static/sketches')
    )
    parser.add_argument(
        '--work',
        type=Path,
        default=Path('work_dirs/sketch_gallery'),
        help='where the runs go',
    )
    parser.add_argument(
        '--resume', action='store_true', help='go on in --work'
    )
    parser.add_argument('--strokes', type=int, default=16)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--iters', type=int, help='default: the config says')
    parser.add_argument('--clip', help='default: what is at hand')
    parser.add_argument('--pretrained', help='its weights')
    args = parser.parse_args(argv)
    common = dict(
        strokes=args.strokes, seeds=args.seeds, iters=args.iters, batch_size=3
    )
    if args.photos:
        sketcher = Sketcher(
            clip=args.clip, pretrained=args.pretrained, **common
        )
        files = [str(file) for file in find_images(args.photos)]
        draw('photographs', files, sketcher, args)
    scenes = [shapes_scene(seed) for seed in SEEDS]
    draw('shapes', scenes, Sketcher(clip='shapes-clip', **common), args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
