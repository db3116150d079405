"""The shapes world: captioned drawings whose annotations are exact.

Scenes follow from a seed, in memory, alike on every machine; the vocabulary
and its base, novel and unseen splits come from ``shapes_concepts`` and are
offered here too. It is a demonstration and a regression test, never a
benchmark.

Symbols: S image side in pixels, N objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmclip.data.shapes_concepts import (
    COLOURS,
    SHAPES,
    SPLITS,
    TEXTURES,
    Concept,
    concepts,
    parse,
)
from mmclip.data.shapes_draw import background, blend, finish, stamp

__all__ = [
    'COLOURS',
    'SHAPES',
    'SPLITS',
    'TEXTURES',
    'Concept',
    'Scene',
    'SceneObject',
    'concepts',
    'draw_crowd',
    'draw_portrait',
    'draw_scene',
    'parse',
]
SMALL, LARGE = 0.112, 0.165  # radius over S where a size word begins


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        concept: What it is.
        box: Tight box of its visible pixels, xyxy with exclusive right and
            lower ends, pixels of the scene.
        mask: Its visible pixels, bool (S, S).
        centre: Of its bounding circle, pixels.
        size_word: ``small``, ``large`` or empty for those between.
    """

    concept: Concept
    box: tuple[float, float, float, float]
    mask: np.ndarray = field(repr=False)
    centre: tuple[float, float]
    size_word: str


@dataclass(frozen=True)
class Scene:
    """A drawn image, uint8 RGB (S, S, 3), and all that is in it."""

    image: np.ndarray = field(repr=False)
    objects: tuple[SceneObject, ...]


def draw_scene(
    seed: int | Sequence[int],
    size: int = 128,
    among: Sequence[Concept] | None = None,
    objects: tuple[int, int] = (1, 6),
    radius: tuple[float, float] = (0.085, 0.215),
) -> Scene:
    """Draw one scene; equal arguments give equal bytes on every machine.

    Args:
        seed: A whole number or several, such as ``(seed, index)``.
        size: Image side S in pixels.
        among: Concepts to draw from, uniformly; the base ones by default.
        objects: Fewest and most of them. An object that finds no free place
            in 24 draws is left out, so a crowded scene may hold fewer.
        radius: Least and largest bounding circle, as part of ``size``.

    Returns:
        The scene; at least 60 % of each of its objects is visible.

    Raises:
        ValueError: ``objects`` is no range, or ``among`` is empty.
    """
    if not 0 <= objects[0] <= objects[1] or among == ():
        raise ValueError(
            f'got objects={objects} and '
            f'{"no" if among == () else "some"} concepts: expected '
            '(fewest, most) and at least one concept, as concepts() lists'
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    among = concepts('base') if among is None else among
    canvas = Canvas(rng, size)
    wanted = objects[0] + int(rng.random() * (objects[1] - objects[0] + 1))
    for _ in range(wanted):
        concept = among[int(rng.random() * len(among))]
        low, high = radius
        extent = (low + (high - low) * rng.random()) * size
        canvas.place(concept, extent)
    return canvas.scene()


def draw_portrait(
    seed: int | Sequence[int],
    size: int = 64,
    among: Sequence[Concept] | None = None,
    radius: tuple[float, float] = (0.26, 0.56),
) -> Scene:
    """Draw one object as a detector's crop shows it.

    It stands loosely or tightly in the frame, off its centre, and often
    neighbours peep in at the border; those are not listed in the scene.
    Arguments as in ``draw_scene``; ``radius`` stays below 0.6, else too
    little of the object is in the picture for it to be listed.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    among = concepts('base') if among is None else among
    canvas = Canvas(rng, size)
    low, high = radius
    extent = (low + (high - low) * rng.random()) * size
    slack = 0.06 * size + max(0, 0.5 * size - extent) * 0.6
    x, y = (0.5 * size + (rng.random() * 2 - 1) * slack for _ in 'xy')
    for _ in range(int(rng.random() * 4)):
        near = (0.3 + 0.3 * rng.random()) * size
        canvas.peep(
            among[int(rng.random() * len(among))], near, clear=(x, y, extent)
        )
    canvas.add(among[int(rng.random() * len(among))], x, y, extent)
    return canvas.scene()


def draw_crowd(
    seed: int | Sequence[int],
    size: int = 256,
    among: Sequence[Concept] | None = None,
    classes: tuple[int, int] = (9, 14),
    radius: tuple[float, float] = (0.055, 0.095),
) -> Scene:
    """Draw one object each of many concepts: more than eight, by default.

    Arguments as in ``draw_scene``, but for ``classes``: fewest and most
    concepts of a scene, none of them twice. All are there and at least 60 %
    visible: an object that finds no place in 24 draws is made smaller.

    Raises:
        ValueError: ``classes`` is no range, ``among`` holds fewer, or the
            smallest objects would be less than 8 pixels wide.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    left = list(dict.fromkeys(concepts('base') if among is None else among))
    if not 1 <= classes[0] <= classes[1] <= len(left) or size * radius[0] < 4:
        raise ValueError(
            f'got classes={classes} of {len(left)} concepts and objects of '
            f'radius {radius} times {size} pixels: expected 1 <= fewest <= '
            'most <= concepts, and 4 pixels at least'
        )
    canvas = Canvas(rng, size)
    wanted = classes[0] + int(rng.random() * (classes[1] - classes[0] + 1))
    for _ in range(wanted):
        concept = left.pop(int(rng.random() * len(left)))
        low, high = radius
        extent = (low + (high - low) * rng.random()) * size
        while not canvas.place(concept, extent):
            extent *= 0.9
    return canvas.scene()


class Canvas:
    """A scene in the making: image, who owns each pixel, and the listing."""

    def __init__(self, rng: np.random.Generator, size: int):
        self.rng, self.size = rng, size
        self.image = self.prepare()
        self.owner = np.full((size, size), -1, np.int16)
        self.placed = []  # (concept, x, y, extent, whole area)

    def prepare(self) -> np.ndarray:
        """Return what is there before the objects, float32 (S, S, 3)."""
        return background(self.rng, self.size)

    def free(self, x: float, y: float, extent: float) -> bool:
        """Say whether a circle there overlaps the others but little."""
        for _, ox, oy, other, _ in self.placed:
            gap = 0.78 * (extent + other)
            if (x - ox) * (x - ox) + (y - oy) * (y - oy) < gap * gap:
                return False
        return True

    def place(self, concept: Concept, extent: float) -> bool:
        """Add an object where there is room; False after 24 draws."""
        for _ in range(24):
            x = extent * 0.9 + self.rng.random() * (self.size - 1.8 * extent)
            y = extent * 0.9 + self.rng.random() * (self.size - 1.8 * extent)
            if self.free(x, y, extent) and self.add(concept, x, y, extent):
                return True
        return False

    def add(self, concept: Concept, x: float, y: float, extent: float) -> bool:
        """Paint and list an object unless it would hide too much."""
        window, coverage, dark, area = self._stamp(concept, x, y, extent)
        solid = coverage >= 0.5
        if np.count_nonzero(solid) < 0.6 * area:
            return False
        below = self.owner[window]
        for k in np.unique(below[solid]):
            if k >= 0:
                left = np.count_nonzero(self.owner == k) - np.count_nonzero(
                    solid & (below == k)
                )
                if left < 0.6 * self.placed[k][-1]:
                    return False
        self.paint(concept, window, coverage, dark)
        below[solid] = len(self.placed)
        self.placed.append((concept, x, y, extent, area))
        return True

    def peep(self, concept: Concept, extent: float, clear) -> None:
        """Paint, unlisted, an object that mostly lies beyond the border."""
        side, along = int(self.rng.random() * 4), self.rng.random() * self.size
        beyond = (0.35 + 0.5 * self.rng.random()) * extent
        across = -beyond if side % 2 else self.size + beyond
        x, y = (across, along) if side < 2 else (along, across)
        gap = 0.9 * (extent + clear[2])
        dx, dy = x - clear[0], y - clear[1]
        if dx * dx + dy * dy > gap * gap:
            self.paint(concept, *self._stamp(concept, x, y, extent)[:3])

    def paint(self, concept: Concept, window, coverage, dark) -> None:
        """Put a stamp of :func:`stamp` into the image."""
        blend(self.image, window, coverage, dark, self._colour(concept))

    def _stamp(self, concept, x, y, extent):
        rng = self.rng
        return stamp(
            concept.shape,
            concept.texture,
            x=x,
            y=y,
            radius=extent,
            turn=int(rng.random() * 9) - 4,  # 15 degrees either way
            squeeze=0.92 + 0.16 * rng.random(),
            tilt=int(rng.random() * 96),
            size=self.size,
        )

    def _colour(self, concept):
        return [
            value + 24 * (self.rng.random() - 0.5)
            for value in COLOURS[concept.colour]
        ]

    def listed(self) -> tuple[SceneObject, ...]:
        """Return the exact annotations of what was added."""
        return tuple(self._entry(k) for k in range(len(self.placed)))

    def scene(self) -> Scene:
        """Close the drawing and return it with its annotations."""
        return Scene(finish(self.rng, self.image), self.listed())

    def _entry(self, k: int) -> SceneObject:
        concept, x, y, extent, _ = self.placed[k]
        mask = self.owner == k
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        word = (
            'small'
            if extent < SMALL * self.size
            else ('large' if extent > LARGE * self.size else '')
        )
        return SceneObject(
            concept, tuple(float(b) for b in box), mask, (x, y), word
        )
