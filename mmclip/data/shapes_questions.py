"""Questions about scenes of the shapes world, and captions in a fixed order.

Every answer follows from what is listed in the scene.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmclip.data.shapes import COLOURS, SHAPES, Scene, SceneObject
from mmclip.data.shapes_captions import listing, sized_name, with_article

KINDS = ('colour', 'shape', 'count', 'presence')
MOST = 6  # objects of a scene, as ``draw_scene`` has them
ANSWERS = (*COLOURS, *SHAPES, *map(str, range(MOST + 1)), 'yes', 'no')


class Question(NamedTuple):
    """A question, its answer, and which of ``KINDS`` it is."""

    text: str
    answer: str
    kind: str


def ask(scene: Scene, seed: int | Sequence[int]) -> Question:
    """Draw a question about a scene; equal seeds draw equal ones.

    Each kind that the scene allows is as likely. Colour and shape are asked
    of what there is one of.
    """
    words = [seed] if isinstance(seed, int) else list(seed)
    rng = np.random.Generator(np.random.PCG64([*words, 11]))
    asked = (about(kind, scene, rng) for kind in KINDS)
    possible = [question for question in asked if question]
    return pick(rng, possible)


def about(kind: str, scene: Scene, rng) -> Question | None:
    """Draw a question of a kind; None where there is none."""
    found = [entry.concept for entry in scene.objects]
    if kind == 'colour':
        shapes = single([c.shape for c in found])
        if not shapes:
            return None
        shape = pick(rng, shapes)
        (colour,) = (c.colour for c in found if c.shape == shape)
        return Question(f'what colour is the {shape}?', colour, kind)
    if kind == 'shape':
        colours = single([c.colour for c in found])
        if not colours:
            return None
        colour = pick(rng, colours)
        (shape,) = (c.shape for c in found if c.colour == colour)
        return Question(f'what is the {colour} shape?', shape, kind)
    if kind == 'count':
        return count(found, rng)
    return presence(found, rng)


def count(found: Sequence, rng) -> Question:
    """Ask how many shapes there are, or how many of a colour."""
    if rng.random() < 0.5 or not found:
        return Question('how many shapes are there?', str(len(found)), 'count')
    colour = pick(rng, [c.colour for c in found])
    number = sum(c.colour == colour for c in found)
    return Question(
        f'how many {colour} shapes are there?', str(number), 'count'
    )


def presence(found: Sequence, rng) -> Question:
    """Ask whether something is there; one time in two it is not.

    What is not has, where possible, the shape of what is, in another colour.
    """
    there = {(c.colour, c.shape) for c in found}
    shapes = sorted({c.shape for c in found}) or SHAPES
    if rng.random() < 0.5 and there:
        colour, shape = pick(rng, sorted(there))
        answer = 'yes'
    else:
        shape = pick(rng, shapes)
        others = [c for c in COLOURS if (c, shape) not in there]
        colour, answer = pick(rng, others), 'no'
    name = with_article(f'{colour} {shape}')
    return Question(f'is there {name}?', answer, 'presence')


def single(words: Sequence[str]) -> list[str]:
    """Return the words that stand there once."""
    return sorted(word for word, n in Counter(words).items() if n == 1)


def pick(rng, options: Sequence):
    """Draw one."""
    return options[int(rng.random() * len(options))]


def ordered_captions(scene: Scene) -> list[str]:
    """Name all objects from left to right, without and with their sizes."""

    def left(entry: SceneObject) -> float:
        return entry.centre[0]

    entries = sorted(scene.objects, key=left)
    if not entries:
        return ['nothing']
    ways = (
        [o.concept.name for o in entries],
        [sized_name(o) for o in entries],
    )
    return [listing([with_article(name) for name in way]) for way in ways]
