"""Captions of the shapes world, and image-text pairs to train a CLIP on.

Symbols: S image side in pixels, N objects.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mmclip.data.shapes import (
    Concept,
    Scene,
    SceneObject,
    concepts,
    draw_portrait,
    draw_scene,
)

CAPTION_TEMPLATES = (
    '{}',
    '{}',
    'a {}',
    'a {}.',
    'the {}',
    'the {}.',
    'a photo of a {}.',
    'a photo of a {}',
    'a photo of the {}.',
    'a picture of a {}.',
    'the picture of the {}',
    'an image of a {}.',
    'a drawing of a {}.',
    'there is a {} in the scene.',
    'there is a {} in the scene',
    'there is the {} in the scene.',
    'there is one {} in the scene.',
    'this is a {}.',
    'this is the {}.',
    'this is one {}.',
    'this is a {} in the scene.',
    'a photo of a {} in the scene.',
)
LIST_TEMPLATES = (
    '{}',
    '{}.',
    'a photo of {}.',
    'a picture of {}',
    'an image of {}.',
    'there are {} in the scene.',
)
RELATIONS = ('left of', 'right of', 'above', 'below')


class Pair(NamedTuple):
    """One image, uint8 RGB (S, S, 3), its caption, and what each says.

    ``told`` are the statements of the caption (names such as ``small red
    ring`` and whole relations), ``true`` those that hold in the image; a
    caption fits every image whose ``true`` contains its ``told``.
    """

    image: np.ndarray
    caption: str
    told: frozenset[str]
    true: frozenset[str]


def with_article(phrase: str) -> str:
    """Put ``a`` or ``an`` before a phrase."""
    return f'{"an" if phrase[0] in "aeiou" else "a"} {phrase}'


def sized_name(entry: SceneObject) -> str:
    """Return the object's name after its size word, where it has one."""
    return f'{entry.size_word} {entry.concept.name}'.strip()


def relation(first: SceneObject, second: SceneObject) -> str | None:
    """Return where ``first`` stands from ``second``, if that is clear.

    The centres must be 8 px apart at the least and one axis must tell, twice
    as long as the other; else there is no relation.
    """
    dx = first.centre[0] - second.centre[0]
    dy = first.centre[1] - second.centre[1]
    if max(abs(dx), abs(dy)) < max(8, 2 * min(abs(dx), abs(dy))):
        return None
    if abs(dx) > abs(dy):
        return RELATIONS[0] if dx < 0 else RELATIONS[1]
    return RELATIONS[2] if dy < 0 else RELATIONS[3]


def related(first: SceneObject, second: SceneObject) -> str | None:
    """Say it whole, as in ``a red ring left of a blue star``, or None."""
    where = relation(first, second)
    return where and (
        f'{with_article(sized_name(first))} {where} '
        f'{with_article(sized_name(second))}'
    )


def captions(scene: Scene) -> list[str]:
    """Return every plain caption of a scene: the list, names, relations."""
    if not scene.objects:
        return ['the scene']
    said = [with_article(sized_name(o)) for o in scene.objects]
    pairs = (
        related(a, b)
        for a in scene.objects
        for b in scene.objects
        if a is not b
    )
    return [listing(said)] + said + [text for text in pairs if text]


def listing(phrases: Sequence[str]) -> str:
    """Join phrases with commas and a last ``and``."""
    *most, last = phrases
    return f'{", ".join(most)} and {last}' if most else last


def scene_pair(
    seed: int | Sequence[int],
    size: int = 128,
    among: Sequence[Concept] | None = None,
    objects: tuple[int, int] = (1, 4),
) -> Pair:
    """Draw a scene and one caption: a name, a relation, or several names."""
    scene = draw_scene(seed, size, among, objects)
    rng = _caption_rng(seed)
    entries = sorted(scene.objects, key=lambda _: rng.random())
    true = true_names(scene)
    kind = rng.random()
    relations = [
        text
        for a in entries[:2]
        for b in entries[:2]
        if a is not b and (text := related(a, b))
    ]
    if relations and kind < 0.3:
        caption = relations[0]
        told = {caption} | {sized_name(o) for o in entries[:2]}
        return Pair(
            scene.image, caption, frozenset(told), frozenset(true | told)
        )
    names = [
        o.concept.name if rng.random() < 0.5 else sized_name(o)
        for o in entries
    ]
    if kind > 0.7:
        names = names[:1]
    template = _pick(rng, LIST_TEMPLATES)
    caption = template.format(listing([with_article(n) for n in names]))
    if len(names) == 1:
        caption = _say(rng, names[0])
    return Pair(scene.image, caption, frozenset(names), frozenset(true))


def portrait_pair(
    seed: int | Sequence[int],
    size: int = 64,
    among: Sequence[Concept] | None = None,
) -> Pair:
    """Draw one object as a crop would show it, and say what it is.

    Three captions in ten say only a part: ``a circle``, ``a red shape``.
    """
    scene = draw_portrait(seed, size, among)
    rng = _caption_rng(seed)
    concept = scene.objects[0].concept
    parts = partial_names(concept)
    name = _pick(rng, parts) if rng.random() < 0.3 else concept.name
    return Pair(
        scene.image,
        _say(rng, name),
        frozenset([name]),
        frozenset(true_names(scene)),
    )


def true_names(scene: Scene) -> set[str]:
    """Return every name, sized or partial, that an object here answers to."""
    return {
        name
        for o in scene.objects
        for name in (
            sized_name(o),
            o.concept.name,
            *partial_names(o.concept),
        )
    }


def partial_names(concept: Concept) -> tuple[str, ...]:
    """Return shorter true names: its shape, its colour, its texture."""
    parts = (concept.shape, f'{concept.colour} shape')
    if concept.texture == 'solid':
        return parts
    texture = concept.texture
    return (*parts, f'{texture} shape', f'{texture} {concept.shape}')


def pairs(
    seed: int, size: int = 128, among: Sequence[Concept] | None = None
) -> Iterator[Pair]:
    """Yield image-text pairs without end, every other one a portrait.

    Args:
        seed: Pair ``i`` follows from ``(seed, i)`` alone.
        size: Image side S.
        among: Concepts; base and novel ones by default, as a CLIP may see.
    """
    index = 0
    while True:
        yield pair(seed, index, size, among)
        index += 1


def pair(
    seed: int,
    index: int,
    size: int = 128,
    among: Sequence[Concept] | None = None,
) -> Pair:
    """Draw the pair that ``pairs`` yields as number ``index``, from 0."""
    among = concepts('base', 'novel') if among is None else among
    draw = scene_pair if index % 2 else portrait_pair
    return draw((seed, index), size, among)


def _caption_rng(seed):
    words = [seed] if isinstance(seed, int) else list(seed)
    return np.random.Generator(np.random.PCG64([*words, 7]))


def _pick(rng, options):
    return options[int(rng.random() * len(options))]


def _say(rng, name: str) -> str:
    template = _pick(rng, CAPTION_TEMPLATES)
    return template.replace('a {}', with_article(name)).replace('{}', name)
