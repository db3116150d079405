"""Write sketches as SVG, and read paths from one.

N strokes, S cubic segments of each. An SVG's ``stroke-width`` is the whole
width, a drawing's ``width`` half of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import torch
from PIL import ImageColor
from torch import Tensor

from mmclip.clipasso.curves import elevate, pad_segments
from mmclip.files import write_whole

NUMBER = r'[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?'
TOKEN = re.compile(rf'([A-Za-z])|({NUMBER})')
ARGUMENTS = dict(M=2, L=2, H=1, V=1, C=6, S=4, Q=4, T=2, Z=0)


@dataclass
class Drawing:
    """Hold strokes in the order in which they are drawn.

    Attributes:
        points: Control points in pixels (N, S, 4, 2).
        width: Half widths in pixels (N,).
        rgba: Straight colour and opacity in [0, 1] (N, 4).
        size: (H, W) of the canvas.
    """

    points: Tensor
    width: Tensor
    rgba: Tensor
    size: tuple[int, int]


def svg_text(drawing: Drawing) -> str:
    """Write a drawing as an SVG with one path a stroke.

    Colours are cut to whole levels, as pydiffvg writes them.
    """
    paths = [
        f'  <path d="{path_data(points)}" stroke-width="{2 * half:.9g}" '
        f'stroke="rgb({r}, {g}, {b})" stroke-opacity="{rgba[3]:.9g}"/>'
        for points, half, rgba in zip(
            drawing.points.detach().cpu(),
            drawing.width.tolist(),
            drawing.rgba.tolist(),
        )
        for r, g, b in [[int(255 * v + 1e-3) for v in rgba[:3]]]
    ]
    return svg_document(drawing.size, paths)


def svg_document(
    size: tuple[int, int], paths: Sequence[str], backdrop: Sequence[str] = ()
) -> str:
    """Write an SVG of strokes with round caps.

    Args:
        size: (H, W).
        paths: A line for each stroke.
        backdrop: Lines that stand before them.
    """
    height, width = size
    return '\n'.join(
        [
            '<?xml version="1.0" ?>',
            '<svg xmlns="http://www.w3.org/2000/svg" version="1.1" '
            f'width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">',
            *backdrop,
            ' <g fill="none" stroke-linecap="round" stroke-linejoin="round">',
            *paths,
            ' </g>',
            '</svg>',
            '',
        ]
    )


def path_data(points: Tensor) -> str:
    """Write a stroke (S, 4, 2) as the ``d`` of a path."""
    last = len(points)
    while last > 1 and bool((points[last - 1] == points[last - 2, 3]).all()):
        last -= 1  # what only fills the stroke up to S segments
    x, y = points[0, 0].tolist()
    parts = [f'M {x:.9g} {y:.9g}']
    for segment in points[:last, 1:]:
        numbers = ' '.join(f'{v:.9g}' for v in segment.flatten().tolist())
        parts.append(f'C {numbers}')
    return ' '.join(parts)


def write_svg(path, drawing: Drawing) -> None:
    """Write a drawing to a file, which never holds half of it."""
    text = svg_text(drawing)
    write_whole(path, lambda partial: partial.write_text(text, 'utf8'))


def read_svg(path) -> Drawing:
    """Read the paths of an SVG file; see :func:`parse_svg`."""
    return parse_svg(Path(path).read_text(encoding='utf8'))


def parse_svg(text: str) -> Drawing:
    """Read the stroked paths of an SVG.

    Lines and quadratics become cubics. What a drawing cannot hold is
    refused rather than left out: transforms, arcs, clips and styles.

    Raises:
        ValueError: It is no SVG, has no size or no path, or uses what a
            drawing cannot hold.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f'this is no SVG: {error}') from error
    strokes = list(stroked_paths(root, {}))
    if not strokes:
        raise ValueError('the SVG holds no <path>: there is nothing to draw')
    return Drawing(
        points=pad_segments([segments for segments, _, _ in strokes]),
        width=torch.tensor([half for _, half, _ in strokes]),
        rgba=torch.tensor([rgba for _, _, rgba in strokes]),
        size=canvas_size(root),
    )


def canvas_size(root) -> tuple[int, int]:
    """Return (H, W) of an SVG.

    Raises:
        ValueError: It says no size in pixels.
    """
    box = [float(v) for v in re.findall(NUMBER, root.get('viewBox', ''))]
    sides = []
    for side, extent in (('height', box[3:4]), ('width', box[2:3])):
        said = re.fullmatch(rf'({NUMBER})(?:px)?', root.get(side, '').strip())
        value = [float(said[1])] if said else extent
        if not value or extent not in ([], value):
            raise ValueError(
                f"the SVG's {side} is {root.get(side)!r} and its viewBox "
                f'{root.get("viewBox")!r}, expected equal sizes in pixels'
            )
        sides += value
    if len(box) == 4 and box[:2] != [0, 0]:
        raise ValueError(f"the SVG's viewBox starts at {box[:2]}, not 0 0")
    return round(sides[0]), round(sides[1])


def stroked_paths(element, inherited: dict):
    """Yield segments (S, 4, 2), half width and RGBA of each subpath."""
    kind = element.tag.rsplit('}', 1)[-1]
    if kind in ('defs', 'metadata', 'title', 'desc'):
        return
    refused = {'transform', 'style', 'clip-path', 'mask'} & set(element.attrib)
    if refused or kind not in ('svg', 'g', 'path'):
        what = f'{sorted(refused)[0]} of ' if refused else ''
        raise ValueError(
            f'{what}<{kind}> cannot be read: paths with attributes only are '
            'expected; save the picture as a plain SVG without transforms'
        )
    style = {**inherited, **element.attrib}
    if kind == 'path':
        half = float(style.get('stroke-width', '1').removesuffix('px')) / 2
        rgba = stroke_colour(style)
        for segments in path_segments_of(element.get('d', '')):
            yield segments, half, rgba
    for child in element:
        yield from stroked_paths(child, style)


def stroke_colour(style: dict) -> list[float]:
    """Return RGBA in [0, 1] of a path's attributes."""
    named = style.get('stroke', 'none')
    opacity = float(style.get('stroke-opacity', 1))
    opacity *= float(style.get('opacity', 1))
    if named == 'none':
        return [0.0, 0.0, 0.0, 0.0]
    rgb = ImageColor.getrgb(named)
    return [*(v / 255 for v in rgb[:3]), opacity]


def path_segments_of(data: str) -> list[Tensor]:
    """Read the ``d`` of a path: cubics (S, 4, 2) of each subpath.

    Raises:
        ValueError: A command is unknown (such as an arc) or cut short.
    """
    paths, current = [], []
    here, begin, handle = torch.zeros(2), torch.zeros(2), None
    for command, numbers in commands(data):
        kind = command.upper()
        base = here if command.islower() else torch.zeros(2)
        if kind == 'M':
            here = begin = torch.tensor(numbers) + base
            current, handle = [], None
            paths.append(current)
            continue
        drawn = control_points(kind, numbers, base, here, begin, handle)
        handle = (kind, drawn[-2])
        current.append(elevate(drawn))
        here = drawn[-1]
        if kind == 'Z':
            current = []
            paths.append(current)
    return [torch.stack(path) for path in paths if path]


def control_points(kind, numbers, base, here, begin, handle) -> Tensor:
    """Return the control points of one command, from 2 to 4 (x, y)."""
    if kind == 'Z':
        return torch.stack([here, begin])
    if kind in 'HV':
        end = here.clone()
        axis = 'HV'.index(kind)
        end[axis] = numbers[0] + base[axis]
        return torch.stack([here, end])
    given = torch.tensor(numbers).view(-1, 2) + base
    if kind in 'ST':  # the first handle mirrors the last command's
        before = {'S': 'CS', 'T': 'QT'}[kind]
        mirrors = handle is not None and handle[0] in before
        first = 2 * here - handle[1] if mirrors else here
        given = torch.cat([first[None], given])
    return torch.cat([here[None], given])


def commands(data: str):
    """Yield a letter and its numbers for each command of a path's ``d``."""
    tokens = TOKEN.findall(data)
    if re.sub(r'[\s,]', '', TOKEN.sub('', data)):
        raise ValueError(f'the path {data[:40]!r} cannot be read')
    place, letter = 0, None
    while place < len(tokens):
        named = tokens[place][0]
        if named:
            letter, place = named, place + 1
        count = ARGUMENTS.get((letter or '?').upper())
        numbers = [n for _, n in tokens[place : place + (count or 0)]]
        if count is None or len(numbers) < count or '' in numbers:
            raise ValueError(
                f'the path {data[:40]!r} has the command {letter!r} with '
                f'{len(numbers)} numbers: expected M, L, H, V, C, S, Q, T '
                'or Z with all of theirs'
            )
        if not named and not count:
            raise ValueError(f'the path {data[:40]!r} has numbers after Z')
        yield letter, [float(n) for n in numbers]
        place += count
        # numbers that follow a move are lines
        letter = {'M': 'L', 'm': 'l'}.get(letter, letter)
