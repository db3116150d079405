"""Draw single shapes and backgrounds of the shapes world, bit for bit.

As in ``shapes_outlines``, every operation is one that IEEE 754 rounds alike
everywhere and no image library draws, so a seed means the same bytes on every
machine.

Convention: x runs right, y down; pixel ``i`` covers ``[i, i + 1)`` and is
sampled at ``i + 0.5``.

Symbols: S image side, W window side, both in pixels.
"""

import math

import numpy as np

from mmclip.data.shapes_outlines import (
    DIRECTIONS,
    TURN,
    distance_table,
    look_up,
)


def wave(t: np.ndarray, period: float) -> np.ndarray:
    """Return the distance from ``t`` to the nearest stripe's edge, signed."""
    phase = t / period
    phase = phase - np.floor(phase)
    return (np.abs(phase - 0.5) * 2 - 0.5) * (period / 2)


def shade(texture: str, u, v, radius: float, tilt: int) -> np.ndarray | float:
    """Return how dark the texture is at ``(u, v)``, zero to one.

    Args:
        texture: One of ``TEXTURES``.
        u: Coordinates in the outline's frame, an array.
        v: Likewise, of the same shape.
        radius: Pixels in one unit of that frame, for the soft edges.
        tilt: Direction of the stripes, in ``TURN`` steps.
    """
    if texture == 'solid':
        return 0.0
    c, s = DIRECTIONS[tilt % TURN]
    if texture == 'striped':
        return soft(-wave(u * c + v * s, 0.5) * radius)
    if texture == 'checkered':
        a, b = (
            soft(wave(u + 0.2, 0.8) * radius),
            soft(wave(v + 0.2, 0.8) * radius),
        )
        return a + b - 2 * a * b
    a, b = (u / 0.46) - np.floor(u / 0.46), (v / 0.46) - np.floor(v / 0.46)
    a, b = (a - 0.5) * 0.46, (b - 0.5) * 0.46
    return soft((np.sqrt(a * a + b * b) - 0.135) * radius)


def soft(distance: np.ndarray) -> np.ndarray:
    """Turn signed distances in pixels into coverage, zero to one."""
    return np.minimum(np.maximum(0.5 - distance, 0), 1)


def stamp(
    shape: str,
    texture: str,
    *,
    x: float,
    y: float,
    radius: float,
    turn: int,
    squeeze: float,
    tilt: int,
    size: int,
):
    """Rasterise one object.

    Args:
        shape: What to draw.
        texture: One of ``TEXTURES``.
        x: Its centre in pixels.
        y: Likewise.
        radius: Of its bounding circle, pixels.
        turn: Rotation in ``TURN`` steps.
        squeeze: Width over height of the deformation, near one.
        tilt: Direction of its stripes, in ``TURN`` steps.
        size: Image side S.

    Returns:
        Window ``(rows, columns)`` as slices, coverage (h, w), darkness
        (h, w) or 0., and the whole shape's pixels counted also off the image.
    """
    reach = radius * 1.1 + 1
    x0, y0 = math.floor(x - reach), math.floor(y - reach)
    side = math.floor(2 * reach) + 2
    across = np.arange(x0, x0 + side, dtype=np.float32) + (0.5 - x)
    down = np.arange(y0, y0 + side, dtype=np.float32) + (0.5 - y)
    c, s = DIRECTIONS[turn % TURN]
    c, s = c / radius, s / radius
    u = (across * c)[None] + (down * s)[:, None]  # (W, W)
    v = (down * c)[:, None] - (across * s)[None]
    coverage = soft(look_up(distance_table(shape), u / squeeze, v) * radius)
    dark = shade(texture, u, v, radius, tilt)
    area = np.count_nonzero(coverage >= 0.5)
    rows = slice(max(y0, 0), min(y0 + side, size))
    columns = slice(max(x0, 0), min(x0 + side, size))
    crop = (
        slice(rows.start - y0, rows.stop - y0),
        slice(columns.start - x0, columns.stop - x0),
    )
    dark = dark if isinstance(dark, float) else dark[crop]
    return (rows, columns), coverage[crop], dark, area


def blend(image: np.ndarray, window, coverage, dark, colour) -> None:
    """Paint one object into ``image`` float32 (S, S, 3), in place."""
    light = 1 - dark * 0.65
    for channel, value in enumerate(colour):
        plane = image[(*window, channel)]
        plane += coverage * (light * value - plane)


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a muted cluttered background, float32 (S, S, 3).

    A gradient, soft blotches, a few thin lines and blurred spots; nothing of
    it is an object of the world.
    """
    ramp = (np.arange(size, dtype=np.float32) + 0.5) / size
    c, s = DIRECTIONS[int(rng.random() * TURN)]
    slope = (ramp - 0.5)[None] * c + (ramp - 0.5)[:, None] * s
    slope += blotches(rng, ramp) * (0.6 * rng.random())
    base = 50 + 110 * rng.random()
    image = np.empty((size, size, 3), np.float32)
    for channel in range(3):
        tint = 36 * (rng.random() - 0.5)
        image[..., channel] = slope * (70 * (rng.random() - 0.5)) + (
            base + tint
        )
    for _ in range(int(rng.random() * 5)):
        _clutter(rng, image, ramp * size)
    return image


def blotches(rng: np.random.Generator, ramp: np.ndarray) -> np.ndarray:
    """Return smooth random hills in -1..1, float32 (S, S)."""
    grid = np.array(
        [[rng.random() * 2 - 1 for _ in range(6)] for _ in range(6)],
        np.float32,
    )
    at = ramp * 4.999
    i = at.astype(np.int32)
    t = at - i
    rows = grid[i] * (1 - t)[:, None] + grid[i + 1] * t[:, None]  # (S, 6)
    return rows[:, i] * (1 - t) + rows[:, i + 1] * t


def _clutter(rng, image, axis) -> None:
    size = len(axis)
    c, s = DIRECTIONS[int(rng.random() * TURN)]
    x, y = axis - rng.random() * size, axis - rng.random() * size
    across = (x * c)[None] + (y * s)[:, None]
    if rng.random() < 0.6:  # a line over the whole image, one or two px wide
        cover = soft(np.abs(across) - (0.4 + rng.random()))
    else:  # a blurred spot
        wide = (0.05 + 0.1 * rng.random()) * size
        along = (y * c)[:, None] - (x * s)[None]
        far = (across * across + along * along * 0.5) / (wide * wide)
        cover = np.maximum(1 - far, 0) * 0.7
    grey = 40 + 140 * rng.random()
    for channel in range(3):
        value = grey + 40 * (rng.random() - 0.5)
        image[..., channel] += cover * (value - image[..., channel])


def finish(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Apply gain, offset and noise; return uint8 of the same shape."""
    gain, offset = 0.86 + 0.24 * rng.random(), 24 * (rng.random() - 0.5)
    noise = np.frombuffer(rng.bytes(image.size), np.uint8)
    strength = (2 + 14 * rng.random()) / 128
    image = image * gain + offset
    image += (noise.reshape(image.shape).astype(np.float32) - 127) * strength
    return np.minimum(np.maximum(image + 0.5, 0), 255).astype(np.uint8)
