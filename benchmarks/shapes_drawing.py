"""Measure how many pictures of the shapes world one core draws in a second.

Drawing alone, in memory, on one thread; the target is 200 scenes of 128
pixels a second. Ends with 1 where that is missed.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

from mmclip.data.shapes import (
    SHAPES,
    concepts,
    draw_crowd,
    draw_portrait,
    draw_scene,
)
from mmclip.data.shapes_captions import scene_pair
from mmclip.data.shapes_outlines import distance_table
from mmclip.data.shapes_photos import draw_photo

TARGET = 200  # scenes a second
ALL = concepts()
PICTURES = {
    'scenes of 128 px, 1 to 6 objects': partial(draw_scene, among=ALL),
    'scenes of 128 px, with a caption': partial(scene_pair, among=ALL),
    'portraits of 64 px': partial(draw_portrait, among=ALL),
    'crowds of 256 px, 9 to 14 classes': partial(draw_crowd, among=ALL),
    'photographs of 224 px': partial(draw_photo, among=ALL),
}


def pace(draw: Callable[[int], object], seconds: float) -> float:
    """Return pictures a second of processor time, over ``seconds`` of it."""
    count, begin = 0, time.process_time()
    while (taken := time.process_time() - begin) < seconds:
        draw(count)
        count += 1
    return count / taken


def main(argv: list[str] | None = None) -> int:
    """Print a line for each kind of picture."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--seconds', type=float, default=5, help='spent on each kind'
    )
    args = parser.parse_args(argv)
    for shape in SHAPES:  # made once a process
        distance_table(shape)
    paces = {}
    for name, draw in PICTURES.items():
        paces[name] = pace(draw, args.seconds)
        print(f'{name:<34} {paces[name]:6.0f} a second')
    first = next(iter(paces.values()))
    print(f'target: {TARGET} scenes; {first / TARGET:.1f} times that')
    return int(first < TARGET)


if __name__ == '__main__':
    sys.exit(main())
