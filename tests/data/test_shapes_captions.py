"""Captions and image-text pairs of the shapes world."""

from itertools import islice

import numpy as np

from mmclip.data.shapes import concepts, draw_scene, parse
from mmclip.data.shapes_captions import (
    captions,
    listing,
    pair,
    pairs,
    partial_names,
    relation,
    scene_pair,
    with_article,
)


def test_captions_list_the_objects_and_their_relations():
    scene = draw_scene(1, objects=(2, 2))
    full, *said = captions(scene)
    assert ' and ' in full
    for entry in scene.objects:
        assert entry.concept.name in full
        assert any(entry.concept.name in text for text in said)


def test_lists_read_as_english():
    assert listing(['a']) == 'a'
    assert listing(['a', 'b']) == 'a and b'
    assert listing(['a', 'b', 'c']) == 'a, b and c'
    assert with_article('orange ring') == 'an orange ring'
    assert with_article('red ring') == 'a red ring'


def test_relations_agree_with_the_boxes():
    seen = set()
    for seed in range(60):
        for first, second in _ordered_pairs(draw_scene(seed)):
            where = relation(first, second)
            seen.add(where)
            dx = np.subtract(first.centre, second.centre)[0]
            dy = np.subtract(first.centre, second.centre)[1]
            assert where != 'left of' or dx < -2 * abs(dy)
            assert where != 'right of' or dx > 2 * abs(dy)
            assert where != 'above' or dy < -2 * abs(dx)
            assert where != 'below' or dy > 2 * abs(dx)
    assert seen == {None, 'left of', 'right of', 'above', 'below'}


def _ordered_pairs(scene):
    return [(a, b) for a in scene.objects for b in scene.objects if a is not b]


def test_a_pair_is_true_and_repeatable():
    for first, again in islice(zip(pairs(3), pairs(3)), 40):
        assert first.told <= first.true
        assert first.caption == again.caption
        assert (first.image == again.image).all()


def test_a_single_pair_is_that_of_the_stream():
    for index, streamed in enumerate(islice(pairs(3), 6)):
        single = pair(3, index)
        assert single.caption == streamed.caption
        assert (single.image == streamed.image).all()


def test_pairs_for_a_clip_hold_no_unseen_combination():
    forbidden = {(c.colour, c.shape) for c in concepts('unseen')}
    for drawn in islice(pairs(0), 400):
        for name in drawn.true | {drawn.caption}:
            words = set(name.replace(',', ' ').replace('.', ' ').split())
            if len(words & _shape_words()) == 1:
                assert not any({c, s} <= words for c, s in forbidden), name


def _shape_words():
    return {c.shape for c in concepts()}


def test_pairs_cover_base_and_novel_concepts():
    told = set().union(*(p.told for p in islice(pairs(0), 600)))
    novel = {c.name for c in concepts('novel')} & told
    base = {c.name for c in concepts('base')} & told
    assert len(novel) > 100
    assert len(base) > 100


def test_partial_names_say_less_but_nothing_false():
    assert partial_names(parse('red ring')) == ('ring', 'red shape')
    assert 'striped ring' in partial_names(parse('red striped ring'))


def test_scene_pairs_name_sizes_and_relations():
    texts = [scene_pair(seed).caption for seed in range(80)]
    for word in ('small ', 'large ', ' left of ', ' above ', ' and '):
        assert any(word in text for text in texts), word
