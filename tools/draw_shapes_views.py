"""Draw one picture of all views of the shapes world, for its page.

``python tools/draw_shapes_views.py docs/en/_static/shapes_views.png``
"""

import argparse
import textwrap
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmclip.data.shapes import COLOURS, concepts, draw_crowd, draw_scene
from mmclip.data.shapes_captions import portrait_pair, scene_pair
from mmclip.data.shapes_files import write_file
from mmclip.data.shapes_photos import draw_photo
from mmclip.data.shapes_views import phrases

TILE, TEXT, GAP = 150, 42, 6  # pixels: a picture, the lines below, between
SCENE, CROWD, PAIRS, PHOTOS = 12, 7, (2, 8), (25, 43)  # seeds that look well
STEP = 8  # between shades: what keeps the file small


def fit(image: np.ndarray) -> Image.Image:
    """Return an image as a tile."""
    return Image.fromarray(image).resize((TILE, TILE), Image.Resampling.BOX)


def with_boxes(scene, outline: str = 'white') -> np.ndarray:
    """Draw the boxes of a scene into a copy of it."""
    picture = Image.fromarray(scene.image)
    draw = ImageDraw.Draw(picture)
    for entry in scene.objects:
        x0, y0, x1, y1 = entry.box
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=outline, width=2)
    return np.asarray(picture)


def in_colours(scene) -> np.ndarray:
    """Paint every mask in the colour of its name, on black."""
    seen = np.zeros_like(scene.image)
    for entry in scene.objects:
        seen[entry.mask] = COLOURS[entry.concept.colour]
    return seen


def tiles() -> list[tuple[str, np.ndarray]]:
    """Return all views: what stands below each, and its picture."""
    scene = draw_scene(SCENE, 2 * TILE, concepts(), objects=(4, 6))
    crowd = draw_crowd(CROWD, 2 * TILE, concepts())
    first, second = (draw_photo(seed, 2 * TILE, concepts()) for seed in PHOTOS)
    portrait = portrait_pair(PAIRS[0], 2 * TILE, concepts())
    pair = scene_pair(PAIRS[1], 2 * TILE, concepts())
    number = len(crowd.objects)
    return [
        ('coco: boxes and masks', with_boxes(scene)),
        ('ade: semantic map', in_colours(scene)),
        (f'odvg: "{phrases(scene)[0]}"', with_boxes(scene, 'black')),
        (f'pairs: "{pair.caption}"', pair.image),
        (f'pairs: "{portrait.caption}"', portrait.image),
        (f'crowded: {number} classes', with_boxes(crowd)),
        ('photos', first.image),
        ('its mask', first.alpha),
        ('photos', second.image),
        ('its mask', second.alpha),
    ]


def sheet(entries, columns: int = 5) -> Image.Image:
    """Lay tiles out in rows, each above its text."""
    rows = -(-len(entries) // columns)
    step, high = TILE + GAP, TILE + TEXT
    size = columns * step - GAP, rows * high
    whole = Image.new('RGB', size, 'white')
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default()
    for k, (text, image) in enumerate(entries):
        x, y = k % columns * step, k // columns * high
        whole.paste(fit(image).convert('RGB'), (x, y))
        lines = textwrap.wrap(text, 26)
        if len(lines) > 3:
            lines = [*lines[:2], f'{lines[2][:22]} ...']
        below = (x, y + TILE + 2)
        draw.multiline_text(below, '\n'.join(lines), 'black', font, spacing=1)
    return whole


def main(argv=None) -> None:
    """Write the sheet as a PNG file of few shades."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    args = parser.parse_args(argv)
    shades = np.asarray(sheet(tiles())) // STEP * (255 / (255 // STEP))
    stream = BytesIO()
    Image.fromarray(shades.astype(np.uint8)).save(stream, 'PNG', optimize=True)
    write_file(args.out, stream.getvalue())
    print(f'written: {args.out}, {len(stream.getvalue()) // 1024} KB')


if __name__ == '__main__':
    main()
