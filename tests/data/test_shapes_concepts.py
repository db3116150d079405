"""The vocabulary of the shapes world and its splits."""

import pytest

from mmclip.data.shapes_concepts import (
    BASE_SHAPES,
    COLOURS,
    NOVEL_SHAPES,
    SHAPES,
    SPLITS,
    TEXTURES,
    concepts,
    held_out_colour,
    parse,
)


def test_splits_part_the_full_product():
    parts = [set(concepts(split)) for split in SPLITS]
    assert [len(part) for part in parts] == [336, 252, 84]
    assert len(set.union(*parts)) == len(SHAPES) * len(COLOURS) * len(TEXTURES)


def test_shapes_80_is_48_base_17_novel_15_unseen():
    sizes = [len(concepts(s, vocabulary='shapes-80')) for s in SPLITS]
    assert sizes == [48, 17, 15]
    names = {c.name for c in concepts(vocabulary='shapes-80')}
    assert len(names) == 80
    assert {'red circle', 'blue square'} <= names


def test_shapes_80_covers_every_shape_texture_and_colour():
    base = concepts('base', vocabulary='shapes-80')
    assert {c.shape for c in base} == set(BASE_SHAPES)
    assert {c.texture for c in base} == {'solid', 'striped', 'dotted'}
    assert {c.colour for c in base} == set(COLOURS)
    novel = concepts('novel', vocabulary='shapes-80')
    assert {c.shape for c in novel} >= set(NOVEL_SHAPES)
    assert 'checkered' in {c.texture for c in novel}


def test_unseen_pairs_are_held_out_in_every_texture():
    for concept in concepts('unseen'):
        assert concept.colour == held_out_colour(concept.shape)
    seen = {(c.colour, c.shape) for c in concepts('base', 'novel')}
    unseen = {(c.colour, c.shape) for c in concepts('unseen')}
    assert not seen & unseen
    assert len(unseen) == len(SHAPES)


def test_every_name_reads_back():
    for concept in concepts():
        assert parse(concept.name) == concept


@pytest.mark.parametrize(
    'name',
    ['ring', 'red solid ring', 'red ring ring', 'ring red', 'pink ring'],
)
def test_a_foreign_name_is_refused(name):
    with pytest.raises(ValueError, match='no concept of the shapes world'):
        parse(name)


def test_unknown_splits_and_vocabularies_are_refused():
    with pytest.raises(ValueError, match="no split 'rare'"):
        concepts('rare')
    with pytest.raises(ValueError, match="no vocabulary 'lvis'"):
        concepts(vocabulary='lvis')
