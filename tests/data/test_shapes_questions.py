from collections import Counter
from types import SimpleNamespace

import pytest

from mmclip.data.shapes import Concept, concepts, draw_scene
from mmclip.data.shapes_questions import (
    ANSWERS,
    KINDS,
    ask,
    ordered_captions,
)


def scene_of(*names, sizes=None):
    """A scene of which only what is listed counts, left to right."""
    entries = [
        SimpleNamespace(
            concept=Concept(*name.split()),
            centre=(10.0 * k, 5.0),
            size_word=(sizes or {}).get(k, ''),
        )
        for k, name in enumerate(names)
    ]
    return SimpleNamespace(objects=tuple(entries))


def asked(scene, count=300):
    return {ask(scene, (1, k)) for k in range(count)}


def test_answers_follow_from_the_scene():
    found = asked(
        scene_of('red solid ring', 'blue solid star', 'red striped star')
    )
    said = {(q.text, q.answer) for q in found}
    assert said >= {
        ('what colour is the ring?', 'red'),
        ('what is the blue shape?', 'star'),
        ('how many shapes are there?', '3'),
        ('how many red shapes are there?', '2'),
        ('how many blue shapes are there?', '1'),
        ('is there a red ring?', 'yes'),
        ('is there a blue star?', 'yes'),
    }
    texts = Counter(text for text, _ in said)
    assert max(texts.values()) == 1  # nothing has two answers
    assert 'what colour is the star?' not in texts  # there are two
    assert 'what is the red shape?' not in texts
    absent = {text for text, answer in said if answer == 'no'}
    assert absent
    assert not absent & {'is there a red star?', 'is there a red ring?'}


def test_each_kind_is_as_likely_and_presence_is_even():
    scene = scene_of('red solid ring', 'blue solid star')
    drawn = [ask(scene, (2, k)) for k in range(800)]
    kinds = Counter(q.kind for q in drawn)
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > 150
    there = Counter(q.answer for q in drawn if q.kind == 'presence')
    assert 0.4 < there['yes'] / there.total() < 0.6


def test_what_is_not_there_has_the_shape_of_what_is():
    found = asked(scene_of('red solid ring', 'blue solid star'))
    absent = [q.text for q in found if q.answer == 'no']
    assert all('ring' in text or 'star' in text for text in absent)


def test_an_empty_scene_can_be_asked_about():
    found = asked(scene_of(), 40)
    assert {q.answer for q in found} == {'0', 'no'}
    assert {q.kind for q in found} == {'count', 'presence'}


def test_equal_seeds_ask_equal_questions_about_drawn_scenes():
    for k in range(20):
        scene = draw_scene((5, k), 64, concepts('base'))
        first, again = ask(scene, (5, k)), ask(scene, (5, k))
        assert first == again
        assert first.answer in ANSWERS


def test_captions_go_from_left_to_right():
    scene = scene_of(
        'red solid ring', 'orange dotted star', sizes={1: 'small'}
    )
    assert ordered_captions(scene) == [
        'a red ring and an orange dotted star',
        'a red ring and a small orange dotted star',
    ]
    backwards = SimpleNamespace(objects=scene.objects[::-1])
    assert ordered_captions(backwards) == ordered_captions(scene)


@pytest.mark.parametrize('scene', [scene_of()])
def test_a_caption_of_nothing(scene):
    assert ordered_captions(scene) == ['nothing']
