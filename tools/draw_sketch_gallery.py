"""Draw the gallery of docs/en/clipasso.md: photographs and shapes scenes.

``python tools/draw_sketch_gallery.py --photos DIR`` sketches the pictures of a
folder (transparent where the background was cut away) with the network that
is at hand, and scenes of the shapes world with shapes-clip. It writes one
sheet for each network, which names it, and every sketch as SVG. Sketches that
lie finished in --work (of an earlier run, or of ``mmclip sketch``) are kept.
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import DictAction
from PIL import Image

from mmclip.clipasso.dataset import find_images
from mmclip.clipasso.export import draw_picture
from mmclip.clipasso.preprocess import (
    composite_on_white,
    pad_to_white_square,
    read_picture,
)
from mmclip.clipasso.svg import parse_svg
from mmclip.data.shapes import draw_scene
from mmclip.files import write_whole
from mmclip.inference.sketcher import Sketcher

SEEDS = (12, 31, 44)  # of the shapes scenes
SIDE = 200  # pixels of a picture on a sheet
LINE = 18  # pixels of a line of text


def shapes_scene(seed: int, folder: Path) -> Path:
    """Draw one large object, transparent around it."""
    scene = draw_scene(seed, 96, objects=(1, 1), radius=(0.3, 0.36))
    alpha = np.uint8(scene.objects[0].mask) * 255
    picture = Image.fromarray(np.dstack([scene.image, alpha]))
    path = folder / f'scene{seed}.png'
    write_whole(path, lambda file: picture.save(file, 'PNG'))
    return path


def on_square(picture: Image.Image) -> np.ndarray:
    """Show a picture as the sketch's canvas has it."""
    square = pad_to_white_square(composite_on_white(picture))
    return np.asarray(Image.fromarray(square).resize((SIDE, SIDE)))


def sheet(pictures: list, found: list[dict]) -> Image.Image:
    """Put pictures above their sketches, and say which network looked."""
    photos = np.hstack([on_square(picture) for picture in pictures])
    sketches = np.hstack(
        [draw_picture(parse_svg(each['svg']), SIDE) for each in found]
    )
    starts = len(found[0]['losses'])
    last = max(c[-1][0] for f in found for c in f['losses'].values())
    texts = [
        f'{found[0]["strokes"]} strokes, {starts} start(s), {last} steps',
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


def sketch_once(file: Path, sketcher: Sketcher, work: Path) -> dict:
    """Sketch a file, or return the finished sketch of an earlier run."""
    known = work / f'{file.stem}.json'
    found = json.loads(known.read_text()) if known.is_file() else {}
    if found.get('finished'):
        svg = known.with_suffix('.svg').read_text()
        return dict(found, svg=svg)
    return sketcher(file, out=work, progress=True)


def draw(name: str, files: list[Path], sketcher: Sketcher, args) -> None:
    """Sketch files; write their sheet and SVGs."""
    found = [sketch_once(file, sketcher, args.work / name) for file in files]
    picture = sheet([read_picture(file) for file in files], found)
    write_whole(
        args.out / f'{name}.jpg',
        lambda file: picture.save(file, 'JPEG', quality=85),
    )
    for file, each in zip(files, found):
        text = each['svg']
        write_whole(
            args.out / f'{name}-{file.stem}.svg',
            lambda f, t=text: f.write_text(t),
        )
    print(f'{args.out / name}.jpg: {found[0]["network"]}')


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
    parser.add_argument('--strokes', type=int, default=16)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--iters', type=int, help='default: the config says')
    parser.add_argument('--clip', help='default: what is at hand')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE'
    )
    parser.add_argument('--pretrained', help='its weights')
    args = parser.parse_args(argv)
    common = dict(
        strokes=args.strokes,
        seeds=args.seeds,
        iters=args.iters,
        cfg_options=args.cfg_options,
    )
    if args.photos:
        sketcher = Sketcher(
            clip=args.clip, pretrained=args.pretrained, **common
        )
        draw('photographs', find_images(args.photos), sketcher, args)
    scenes = [shapes_scene(seed, args.work / 'scenes') for seed in SEEDS]
    draw('shapes', scenes, Sketcher(clip='shapes-clip', **common), args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
