"""Objects of the shapes world in pictures like photographs, with mattes.

What a sketcher is given (CLIPasso): few objects on a cluttered background, lit
and out of focus as a camera sees it, and the true foreground.

Symbols: S image side in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmclip.data.shapes import Canvas, Concept, Scene, concepts
from mmclip.data.shapes_backdrops import Noise, backdrop, blur, step


@dataclass(frozen=True)
class Photo(Scene):
    """A scene with its matte.

    Attributes:
        alpha: uint8 (S, S): the part of a pixel's light that comes from the
            objects, 255 for all of it. The camera's blur is in it.
    """

    alpha: np.ndarray = field(repr=False)


def draw_photo(
    seed: int | Sequence[int],
    size: int = 224,
    among: Sequence[Concept] | None = None,
    objects: tuple[int, int] = (1, 3),
    radius: tuple[float, float] = (0.16, 0.32),
) -> Photo:
    """Draw a picture like a photograph; arguments as in ``draw_scene``.

    Returns:
        The photo; its first object is always there, others where they find
        room.

    Raises:
        ValueError: ``objects`` is no range from 1 on, or ``among`` is empty.
    """
    among = concepts('base') if among is None else among
    if not 1 <= objects[0] <= objects[1] or not among:
        raise ValueError(
            f'got objects={objects} and {len(among)} concepts: expected '
            '(fewest, most) from 1 on and at least one concept'
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    canvas = PhotoCanvas(rng, size)
    wanted = objects[0] + int(rng.random() * (objects[1] - objects[0] + 1))
    low, high = radius
    for k in range(wanted):
        concept = among[int(rng.random() * len(among))]
        # several share the picture: each a little smaller
        extent = (low + (high - low) * rng.random()) * size
        extent *= (1.0, 0.8, 0.68)[min(wanted, 3) - 1]
        while not canvas.place(concept, extent) and k == 0:
            extent *= 0.9
    return canvas.scene()


class PhotoCanvas(Canvas):
    """A canvas with a backdrop, shadows, shading and a camera."""

    def prepare(self) -> np.ndarray:
        """Return the backdrop; keep where its light comes from."""
        image, self.horizon, self.light = backdrop(self.rng, self.size)
        self.alpha = np.zeros(image.shape[:2], np.float32)
        self.noise = Noise(self.rng)
        return image

    def free(self, x: float, y: float, extent: float) -> bool:
        """Let objects stand on the table, where there is one."""
        stands = y + extent > (self.horizon + 0.12) * self.size
        return stands and super().free(x, y, extent)

    def paint(self, concept: Concept, window, coverage, dark) -> None:
        """Cast the object's shadow, then blend it in, shaded."""
        whole = np.zeros_like(self.alpha)
        whole[window] = coverage
        self.image *= (1 - 0.6 * self._shadow(whole))[..., None]
        shading = self._shading(window, coverage)
        grey = shading * (1 - 0.65 * dark)
        gloss = 90 * step(shading, 1.06, 1.3)
        for channel, value in enumerate(self._colour(concept)):
            plane = self.image[(*window, channel)]
            # no paint is as pure as the names' colours are
            light = grey * (0.84 * value + 14) + gloss
            plane += coverage * (light - plane)
        self.alpha += whole * (1 - self.alpha)

    def _shadow(self, whole):
        """Return how much of the light an object takes, (S, S)."""
        size = self.size
        dx, dy = (round(0.045 * size * part) for part in self.light)
        cast = np.zeros_like(whole)  # light comes from above: dy > 0
        cast[dy:, max(dx, 0) : size + dx] = whole[
            : size - dy, max(-dx, 0) : size - dx
        ]
        near = blur(whole, max(1, size // 100))
        return np.maximum(blur(cast, max(1, size // 40)), 0.8 * near)

    def _shading(self, window, coverage):
        """Return a factor for the object's colour: round edges, a grain."""
        wide = max(2, self.size // 28)
        hill = blur(np.pad(coverage, 2 * wide), wide)[
            2 * wide : -2 * wide, 2 * wide : -2 * wide
        ]
        # a pillow: the blurred outline's slope is that of its edge
        across = np.zeros_like(hill)
        across[:, 1:-1] = hill[:, 2:] - hill[:, :-2]
        down = np.zeros_like(hill)
        down[1:-1] = hill[2:] - hill[:-2]
        lit = (across * self.light[0] + down * self.light[1]) * wide
        scale, place = 20 / self.size, 40 * self.rng.random()
        y, x = (np.arange(n, dtype=np.float32) * scale for n in hill.shape)
        grain = self.noise.octaves(x[None] + place, y[:, None], 5, 0.7)
        return 0.92 + 0.55 * lit + 0.1 * grain

    def scene(self) -> Photo:
        """Take the picture: lens, sensor and development."""
        alpha = _lens(self.alpha)
        image = _develop(self.rng, _lens(self.image))
        matte = (alpha * 255 + 0.5).astype(np.uint8)
        return Photo(image, self.listed(), matte)


def _lens(image):
    """Spread each pixel a little, 1-2-1 both ways; edges repeat."""
    for axis in (0, 1):
        image = np.moveaxis(image, axis, 0)
        padded = np.concatenate([image[:1], image, image[-1:]])
        image = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
        image = np.moveaxis(image, 0, axis)
    return image


def _develop(rng, image):
    """Return uint8: a soft shoulder for highlights, and the sensor's grain."""
    strength = (2 + 7 * rng.random()) / 128
    noise = np.frombuffer(rng.bytes(2 * image.size), np.uint8)
    noise = noise.reshape(2, *image.shape).astype(np.float32).sum(0) - 255
    image = np.maximum(image, 0)
    image = np.where(image < 190, image, 190 + (image - 190) * 0.55)
    image = image + noise * (strength * (0.6 + 0.4 * image / 255))
    return np.minimum(np.maximum(image + 0.5, 0), 255).astype(np.uint8)
