"""The vocabulary of the shapes world and its three splits.

A concept is colour x texture x shape. *Base* concepts are drawn, captioned
and boxed; *novel* ones (shapes or a texture held out whole) a CLIP may see in
captions but no detector with a box; *unseen* ones (colour and shape pairs
held out for good) nobody sees before the test.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

SPLITS = ('base', 'novel', 'unseen')
COLOURS = {
    'red': (222, 38, 38),
    'orange': (248, 138, 24),
    'yellow': (242, 228, 48),
    'green': (44, 168, 60),
    'cyan': (60, 214, 218),
    'blue': (44, 74, 218),
    'purple': (150, 54, 190),
    'white': (246, 246, 246),
}
TEXTURES = ('solid', 'striped', 'dotted', 'checkered')
NOVEL_TEXTURES = TEXTURES[3:]
BASE_SHAPES = (
    'circle',
    'square',
    'triangle',
    'cross',
    'ring',
    'diamond',
    'arrow',
    'crescent',
    'oval',
    'semicircle',
    'hourglass',
    'chevron',
    'trapezoid',
    'frame',
    'bolt',
    'house',
)
NOVEL_SHAPES = ('star', 'heart', 'flower', 'drop', 'fish')
SHAPES = BASE_SHAPES + NOVEL_SHAPES


class Concept(NamedTuple):
    """What an object is; ``solid`` is the texture that no name says."""

    colour: str
    texture: str
    shape: str

    @property
    def name(self) -> str:
        """The words of it, such as ``red striped circle``."""
        return ' '.join(word for word in self if word != 'solid')

    @property
    def split(self) -> str:
        """Which of ``SPLITS`` it belongs to."""
        if self.colour == held_out_colour(self.shape):
            return 'unseen'
        novel = self.shape in NOVEL_SHAPES or self.texture in NOVEL_TEXTURES
        return 'novel' if novel else 'base'


def held_out_colour(shape: str) -> str:
    """Return the one colour in which ``shape`` is unseen, in any texture."""
    return tuple(COLOURS)[(5 * SHAPES.index(shape) + 1) % len(COLOURS)]


@cache
def concepts(*splits: str, vocabulary: str = 'all') -> tuple[Concept, ...]:
    """List the concepts of some splits, in a fixed order.

    Args:
        splits: Any of ``base``, ``novel``, ``unseen``; none means all three.
        vocabulary: ``all`` for every product (336 base, 252 novel, 84
            unseen), or ``shapes-80`` for the fixed list of detection: 48
            base, 17 novel, 15 unseen, with every shape, texture and colour;
            ``shapes-solid`` for those of them without a texture: 16 base, 5
            novel, 8 unseen.

    Raises:
        ValueError: A split or vocabulary that does not exist.

    Example:
        >>> [len(concepts(s, vocabulary='shapes-80')) for s in SPLITS]
        [48, 17, 15]
    """
    splits = splits or SPLITS
    for name in splits:
        if name not in SPLITS:
            raise ValueError(
                f"the shapes world has no split '{name}': choose from {SPLITS}"
            )
    if vocabulary not in _LISTS:
        raise ValueError(
            f"the shapes world has no vocabulary '{vocabulary}': "
            f'choose from {tuple(_LISTS)}'
        )
    listed = _LISTS[vocabulary]()
    return tuple(c for split in splits for c in listed if c.split == split)


def _all() -> list[Concept]:
    return [
        Concept(colour, texture, shape)
        for shape in SHAPES
        for texture in TEXTURES
        for colour in COLOURS
    ]


def _shapes_80() -> list[Concept]:
    colours = tuple(COLOURS)
    picked = []
    for i, shape in enumerate(SHAPES):
        seen = [colours[(5 * i + step) % 8] for step in (0, 3, 6)]
        novel = shape in NOVEL_SHAPES
        plain = TEXTURES[:1] + TEXTURES[1 + i % 2 : 2 + i % 2]
        picked += [
            Concept(c, t, shape)
            for c, t in zip(seen, plain if novel else TEXTURES[:3])
        ]
        if i % 2 == 0 and i < 14:
            picked.append(Concept(seen[0], 'checkered', shape))
        if i < 11 or 16 <= i < 20:
            picked.append(
                Concept(
                    held_out_colour(shape), TEXTURES[max(0, i % 4 - 1)], shape
                )
            )
    return picked


def _shapes_solid() -> list[Concept]:
    return [c for c in _shapes_80() if c.texture == 'solid']


_LISTS = {
    'all': _all,
    'shapes-80': _shapes_80,
    'shapes-solid': _shapes_solid,
}


def describe_classes(splits: Sequence[str], vocabulary: str) -> dict:
    """Return the classes of some splits and who of them is what.

    Returns:
        ``classes``, ``palette`` (RGB), and ``base_classes``,
        ``novel_classes``, ``unseen_classes``: names, empty for a split that
        is not among ``splits``.
    """
    listed = concepts(*splits, vocabulary=vocabulary)
    named = {
        f'{split}_classes': tuple(c.name for c in listed if c.split == split)
        for split in SPLITS
    }
    return dict(
        classes=tuple(c.name for c in listed),
        **named,
        palette=[COLOURS[c.colour] for c in listed],
    )


def parse(name: str) -> Concept:
    """Read a concept back from its name.

    Raises:
        ValueError: ``name`` is not a concept of this world.

    Example:
        >>> parse('red circle')[:3], parse('red circle').split
        (('red', 'solid', 'circle'), 'base')
    """
    found = _by_name().get(name)
    if found is None:
        raise ValueError(
            f"'{name}' is no concept of the shapes world: expected 'colour "
            f"[texture] shape' from {tuple(COLOURS)}, {TEXTURES[1:]} and "
            f'{SHAPES}'
        )
    return found


@cache
def _by_name() -> dict[str, Concept]:
    return {concept.name: concept for concept in concepts()}
