"""All sketches of a folder on one sheet, each above its name."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

TEXT, GAP = 22, 8  # pixels: the line below a sketch, between sketches


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip figure gallery``."""
    parser.add_argument('folder', help='of SVG files')
    parser.add_argument('--columns', type=int, default=5)
    parser.add_argument(
        '--size', type=int, default=200, help='pixels of a sketch'
    )


def draw(args) -> np.ndarray:
    """Draw what the command line asks for."""
    if args.columns < 1 or args.size < 16:
        raise ValueError(
            f'--columns {args.columns} --size {args.size}: expected at least '
            'one column, and 16 pixels'
        )
    return draw_gallery(find_sketches(args.folder), args.columns, args.size)


def find_sketches(folder) -> list[Path]:
    """Return the SVG files of a folder by name; animated ones are left out.

    Raises:
        FileNotFoundError: There are none.
    """
    found = [
        file
        for file in sorted(Path(folder).glob('*.svg'))
        if not file.stem.endswith('_animated')
    ]
    if not found:
        raise FileNotFoundError(
            f'{folder} holds no .svg file: name the --out of `mmclip sketch`'
        )
    return found


def draw_gallery(
    files: Sequence[Path], columns: int = 5, size: int = 200
) -> np.ndarray:
    """Lay sketches out in rows.

    Args:
        files: SVGs of ours, or others of strokes alone.
        columns: Sketches in a row at most.
        size: Longer side of a sketch in pixels.

    Returns:
        The sheet, (H, W, 3) RGB.

    Raises:
        ValueError: A file is no SVG that holds strokes; the message names it.
    """
    from PIL import Image, ImageDraw, ImageFont

    columns = min(columns, len(files))
    rows = -(-len(files) // columns)
    across, down = size + GAP, size + TEXT + GAP
    whole = Image.new('RGB', (columns * across, rows * down), 'white')
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default()
    for k, file in enumerate(files):
        x, y = k % columns * across + GAP // 2, k // columns * down + GAP // 2
        sketch = Image.fromarray(draw_file(file, size))
        place = x + (size - sketch.width) // 2, y + (size - sketch.height) // 2
        whole.paste(sketch, place)
        pen.rectangle((x, y, x + size - 1, y + size - 1), outline='lightgray')
        name = fit(file.stem, size, font)
        pen.text((x + 2, y + size + 3), name, 'black', font)
    return np.asarray(whole)


def draw_file(file: Path, size: int) -> np.ndarray:
    """Draw one SVG, its longer side ``size`` pixels."""
    from mmclip.clipasso.export import draw_picture
    from mmclip.clipasso.svg import read_svg

    try:
        return draw_picture(read_svg(file), size)
    except ValueError as error:
        raise ValueError(f'{file}: {error}') from error


def fit(text: str, width: int, font) -> str:
    """Shorten a text from its end until it is ``width`` pixels wide."""
    shown = text
    while shown and font.getlength(shown) > width - 4:
        shown = shown[:-1]
    return shown if shown == text else f'{shown[:-2]}..'
