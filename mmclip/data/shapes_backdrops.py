"""Backgrounds like those of photographs, computed bit for bit from a seed.

A surface of some material (boards, stones, cloth, leaves, ...) seen from
above or as a table before a wall, clutter out of focus, uneven light, cast
shadows. As in ``shapes_draw``, there is nothing but ``+ - * /``, ``sqrt``,
comparisons and table look-ups, in float32, and sums run one by one
(``cumsum``), so a seed means the same bytes on every machine.

Convention: images are float32, 0..255; a surface has coordinates ``u, v`` of
its own, one unit being about a hand's breadth.

Symbols: S image side in pixels.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mmclip.data.shapes_draw import soft
from mmclip.data.shapes_outlines import DIRECTIONS, TURN

LATTICE = 64  # points a side of the random lattice; a power of two


class Noise:
    """Value noise: a random lattice, read smoothly and without an end."""

    def __init__(self, rng: np.random.Generator):
        values = np.frombuffer(rng.bytes(LATTICE * LATTICE), np.uint8)
        self.values = values.astype(np.float32) / 127.5 - 1

    def __call__(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return values in -1..1 at ``(u, v)``, one cell of noise a unit."""
        i, right, a = _cell(u)
        j, below, b = _cell(v)
        j, below = j * LATTICE, below * LATTICE
        grid = self.values
        above = grid[j + i] + (grid[j + right] - grid[j + i]) * a
        under = grid[below + i] + (grid[below + right] - grid[below + i]) * a
        return above + (under - above) * b

    def octaves(self, u, v, count: int, keep: float = 0.5) -> np.ndarray:
        """Sum noise of ``count`` sizes, each half as wide, in about -1..1.

        Args:
            u: Coordinates, an array.
            v: Likewise, of the same shape.
            count: How many sizes.
            keep: Strength of a size beside the one before.
        """
        total, strength, whole = 0, 1.0, 0.0
        for k in range(count):
            scale, shift = float(2**k), 17.31 * k
            total = total + self(u * scale + shift, v * scale + shift) * (
                strength
            )
            whole += strength * strength
            strength *= keep
        return total * (0.9 / whole)


def _cell(t: np.ndarray):
    """Split coordinates into lattice index, the next one, smooth fraction."""
    floor = np.floor(t)
    rest = t - floor
    index = floor.astype(np.int32) & (LATTICE - 1)
    return index, (index + 1) & (LATTICE - 1), rest * rest * (3 - 2 * rest)


def triangle(t: np.ndarray) -> np.ndarray:
    """Return a triangle wave of period 1, in 0..1, 0 at whole numbers."""
    return 1 - np.abs((t - np.floor(t)) * 2 - 1)


def step(t: np.ndarray, low: float, high: float) -> np.ndarray:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    t = np.minimum(np.maximum((t - low) / (high - low), 0), 1)
    return t * t * (3 - 2 * t)


# ---- materials: how light a surface is at (u, v), in about 0..1 ----


def plaster(noise: Noise, u, v):
    """Stained, slightly rough."""
    stains = noise.octaves(u * 0.7, v * 0.7, 4, 0.6)
    return 0.6 + 0.3 * stains + 0.1 * noise.octaves(u * 14, v * 14, 2)


def boards(noise: Noise, u, v):
    """Wooden boards with a grain and dark joints."""
    row = np.floor(v * 0.9)
    along = u * 0.35 + row * 7.7
    bend = noise.octaves(along, v * 1.6 + row * 3.1, 3)
    rings = triangle(v * 3.2 + 1.5 * bend)
    fibre = noise.octaves(u * 1.8 + row * 5.3, v * 34, 2)
    own = noise(row * 1.37 + 0.5, row * 2.11)
    joint = step(triangle(v * 0.9), 0.0, 0.035)
    tone = 0.48 + 0.22 * own + 0.22 * (rings - 0.5) + 0.16 * fibre
    return tone * (0.35 + 0.65 * joint)


def bricks(noise: Noise, u, v):
    """A wall of bricks, mortar between them."""
    row = np.floor(v * 1.6)
    across = u * 0.7 + 0.5 * (row - 2 * np.floor(row / 2))
    rough = 0.04 * noise.octaves(u * 6, v * 6, 2)
    edge = np.minimum(
        triangle(v * 1.6) / 1.6 + rough, triangle(across) / 0.7 + rough
    )
    own = noise(np.floor(across) * 1.7 + 0.4, row * 2.3 + 0.6)
    face = 0.4 + 0.25 * own + 0.14 * noise.octaves(u * 5, v * 5, 4, 0.6)
    mortar = 0.95 + 0.1 * noise.octaves(u * 9, v * 9, 2)
    return mortar + (face - mortar) * step(edge, 0.04, 0.1)


def cloth(noise: Noise, u, v):
    """A woven cloth with folds."""
    fold = noise.octaves(u * 0.5 + 0.2 * v, v * 0.22, 3, 0.45)
    ridge = 1 - np.abs(fold) * 2
    weave = triangle(u * 13 + fold) * triangle(v * 13)
    return 0.44 + 0.34 * ridge + 0.14 * fold + 0.1 * weave


def leaves(noise: Noise, u, v):
    """Grass or leaves: bright blades above dark gaps."""
    bend = noise.octaves(u * 2, v * 2, 2)
    blades = 0.62 - np.abs(noise(u * 7 + 2 * bend, v * 3.4))
    for k in (1, 2):  # leaf upon leaf: the upper one hides the lower
        upper = 0.72 - 1.5 * np.abs(
            noise(u * 6 - 2 * bend + 13 * k, v * 4.2 + bend + 29 * k)
        )
        blades = np.maximum(blades, upper - 0.08 * k)
    patch = noise.octaves(u * 0.6, v * 0.6, 3)
    fine = noise.octaves(u * 15, v * 15, 2)
    return 0.75 * blades + 0.22 * patch + 0.14 * fine + 0.05


def pebbles(noise: Noise, u, v):
    """Rounded stones, each with a tone of its own, shadows between them."""
    u = u * 2.2 + 0.25 * noise(u * 2, v * 2)
    v = v * 2.2 + 0.25 * noise(u * 2 + 9, v * 2)
    nearest = np.full(u.shape, 9, np.float32)
    second, own = nearest, nearest
    for dx in (-1.0, 0.0, 1.0):
        for dy in (-1.0, 0.0, 1.0):
            i, j = np.floor(u) + dx, np.floor(v) + dy
            x = u - i - 0.5 - 0.42 * noise(i + 3, j)
            y = v - j - 0.5 - 0.42 * noise(i, j + 5)
            far = x * x + y * y
            closer = far < nearest
            second = np.where(
                closer, nearest, np.minimum(second, np.maximum(far, nearest))
            )
            own = np.where(closer, noise(i + 11, j + 7), own)
            nearest = np.minimum(nearest, far)
    gap = step(np.sqrt(second) - np.sqrt(nearest), 0.02, 0.3)
    speckle = noise.octaves(u * 6, v * 6, 3, 0.7)
    face = 0.62 + 0.24 * own + 0.1 * speckle - 0.35 * nearest
    return 0.1 + (face - 0.1) * gap


def tiles(noise: Noise, u, v):
    """Glazed tiles with grey joints."""
    edge = np.minimum(triangle(u * 0.8), triangle(v * 0.8))
    own = noise(np.floor(u * 0.8) * 1.9 + 0.3, np.floor(v * 0.8) * 2.7 + 0.8)
    cloud = noise.octaves(u * 1.3 + own * 9, v * 1.3, 4, 0.6)
    face = 0.68 + 0.12 * own + 0.2 * cloud
    return 0.3 + (face - 0.3) * step(edge, 0.02, 0.07)


class Material(NamedTuple):
    """A pattern and the colours (RGB) of its dark and of its light parts."""

    pattern: Callable
    dark: tuple[float, float, float]
    light: tuple[float, float, float]


WALLS = (
    Material(plaster, (138, 128, 112), (226, 217, 200)),
    Material(plaster, (84, 100, 108), (164, 180, 182)),
    Material(bricks, (104, 56, 44), (188, 172, 156)),
    Material(boards, (70, 66, 60), (190, 184, 170)),
    Material(tiles, (120, 128, 126), (222, 226, 220)),
    Material(leaves, (18, 30, 16), (130, 152, 84)),
    Material(cloth, (84, 72, 76), (182, 166, 158)),
)
SURFACES = (
    Material(boards, (58, 36, 20), (202, 154, 104)),
    Material(boards, (46, 38, 34), (150, 128, 108)),
    Material(cloth, (92, 88, 82), (216, 210, 198)),
    Material(cloth, (44, 54, 72), (132, 146, 164)),
    Material(leaves, (26, 38, 16), (142, 164, 82)),
    Material(pebbles, (34, 31, 29), (198, 188, 174)),
    Material(plaster, (98, 94, 90), (176, 172, 166)),
    Material(tiles, (104, 84, 68), (214, 196, 172)),
)


def paint(material: Material, noise: Noise, u, v) -> np.ndarray:
    """Return a surface's colours, float32 (S, S, 3)."""
    tone = np.minimum(np.maximum(material.pattern(noise, u, v), -0.05), 1.1)
    return np.stack(
        [d + (b - d) * tone for d, b in zip(material.dark, material.light)], -1
    )


# ---- the picture ----


class Backdrop(NamedTuple):
    """A background float32 (S, S, 3), and where objects stand in it.

    ``horizon`` is the row in which a table meets its wall, as part of S; 0
    where a surface is seen from above. ``light`` is the direction, (x, y) of
    length one, in which shadows fall.
    """

    image: np.ndarray
    horizon: float
    light: tuple[float, float]


def backdrop(rng: np.random.Generator, size: int) -> Backdrop:
    """Compose a background: from above, or a table before a wall."""
    light = DIRECTIONS[12 + int(rng.random() * 25)]  # to below, left or right
    ramp = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = np.broadcast_arrays(ramp[:, None], ramp[None])  # (S, S)
    surface, noise = _pick(rng, SURFACES), Noise(rng)
    if rng.random() < 0.45:
        image, horizon = _from_above(rng, surface, noise, x, y), 0.0
    else:
        horizon = 0.34 + 0.2 * rng.random()
        image = _table(rng, surface, noise, x, y, horizon)
    image = _tint(rng, image)
    return Backdrop(
        image * _light(rng, noise, x, y)[..., None], horizon, light
    )


def _from_above(rng, surface, noise, x, y):
    c, s = DIRECTIONS[int(rng.random() * TURN)]
    scale = 3 + 2.5 * rng.random()
    lean = 1 + (0.5 - y) * (0.5 * rng.random())  # the camera is never square
    u, v = (x - 0.5) * lean * scale, (y - 0.5) * lean * scale
    image = paint(surface, noise, u * c + v * s + 20, v * c - u * s + 20)
    for _ in range(1 + int(rng.random() * 4)):
        _thing(rng, noise, image, x, y, None)
    return image


def _table(rng, surface, noise, x, y, horizon):
    far = 1 / (np.maximum(y - horizon, 0) + 0.14)  # (S, S)
    turn = 0.7 * (rng.random() - 0.5)
    u, v = (x - 0.5) * far * 0.7, far
    top = paint(surface, noise, u + v * turn + 20, v - u * turn)
    wall_noise, zoom = Noise(rng), 3 + 3 * rng.random()
    wall = paint(_pick(rng, WALLS), wall_noise, x * zoom + 5, y * zoom + 5)
    edge = soft((horizon - y) * len(x))[..., None]
    wall = wall * (0.62 + 0.38 * step(horizon - y, 0.0, 0.16)[..., None])
    image = wall + (top - wall) * edge
    for _ in range(2 + int(rng.random() * 5)):
        _thing(rng, noise, image, x, y, horizon)
    sharp = step(y, horizon + 0.02, horizon + 0.4)[..., None]
    away = blur(image, max(1, round(len(x) * (0.008 + 0.02 * rng.random()))))
    return away + (image - away) * sharp


def _thing(rng, noise, image, x, y, horizon):
    """Paint a box, bottle or ball of a dull colour, and its shadow."""
    size = len(x)
    wide, tall = 0.04 + 0.09 * rng.random(), 0.06 + 0.16 * rng.random()
    cx, cy = rng.random(), rng.random()
    c, s = DIRECTIONS[int(rng.random() * TURN)]
    round_ = 0.2 + 0.8 * rng.random()
    if horizon is not None:  # upright, on the table's far end
        cy, (c, s) = horizon + 0.07 - tall + 0.09 * rng.random(), (1.0, 0.0)
    across = ((x - cx) * c + (y - cy) * s) / wide
    along = ((y - cy) * c - (x - cx) * s) / tall
    corner = min(wide, tall) * round_
    dx = np.maximum(np.abs(across) * wide - (wide - corner), 0)
    dy = np.maximum(np.abs(along) * tall - (tall - corner), 0)
    inside = np.sqrt(dx * dx + dy * dy) - corner
    shade = step(inside, 0.07, -0.02)
    image *= 1 - 0.45 * shade[..., None]
    cover = soft(inside * size)[..., None]
    body = 0.72 - 0.34 * across + 0.12 * noise.octaves(across, along * 3, 3)
    if rng.random() < 0.5:  # a label or a band round it
        body = body * (0.6 + 0.4 * step(np.abs(along), 0.35, 0.4))
    grey = 60 + 130 * rng.random()
    for k in range(3):
        value = grey + 45 * (rng.random() - 0.5)
        plane = image[..., k : k + 1]
        plane += cover * (value * body[..., None] - plane)


def _light(rng, noise, x, y):
    """Return a factor (S, S): a slope, dapples or a bar's shadow, corners."""
    c, s = DIRECTIONS[int(rng.random() * TURN)]
    slope = (x - 0.5) * c + (y - 0.5) * s
    light = 1 + 0.55 * rng.random() * slope
    kind = rng.random()
    if kind < 0.35:  # sun through leaves
        spots = noise.octaves(x * 3 + 40, y * 3, 3)
        light = light * (0.66 + 0.44 * step(spots, -0.12, 0.16))
    elif kind < 0.65:  # a window's bars
        c, s = DIRECTIONS[int(rng.random() * TURN)]
        bars = triangle((x * c + y * s) * (1.2 + rng.random()) + rng.random())
        light = light * (0.62 + 0.46 * step(bars, 0.3, 0.42))
    corner = (x - 0.5) * (x - 0.5) + (y - 0.5) * (y - 0.5)
    return light * (1.06 - 0.6 * rng.random() * corner)


def _tint(rng, image):
    warmth = 0.16 * (rng.random() - 0.5)
    gain = (1 + warmth, 1.0, 1 - warmth)
    bright = 0.8 + 0.3 * rng.random()
    return np.stack(
        [image[..., k] * (g * bright) for k, g in enumerate(gain)], -1
    )


def blur(image: np.ndarray, radius: int) -> np.ndarray:
    """Return (H, W) or (H, W, C) after two box filters; edges repeat."""
    for _ in range(2):
        for axis in (0, 1):
            image = _box(image, radius, axis)
    return image


def _box(image, radius, axis):
    image = np.moveaxis(image, axis, 0)
    first, last = (
        np.repeat(image[k][None], radius + n, 0) for k, n in ((0, 1), (-1, 0))
    )
    # sums one by one, in double, so that no machine rounds them otherwise
    total = np.cumsum(np.concatenate([first, image, last]), 0, np.float64)
    wide = 2 * radius + 1
    found = (total[wide:] - total[:-wide]) / wide
    return np.moveaxis(found.astype(np.float32), 0, axis)


def _pick(rng, options):
    return options[int(rng.random() * len(options))]
