import sys
from types import SimpleNamespace

import pytest

from mmclip.data.shapes import concepts, draw_scene
from mmclip.data.shapes_views import phrases
from mmclip.glip.grounding import ground
from mmclip.glip.noun_phrases import noun_phrases, splitter_of
from mmclip.glip.tokenizer import CLIPSpanTokenizer


def read(caption, split=noun_phrases):
    return [caption[a:b] for a, b in split(caption)]


@pytest.mark.parametrize(
    ('caption', 'found'),
    [
        ('There is two cat and a remote in the picture',
         'cat, a remote, the picture'),
        ('a man walks a dog', 'a man, a dog'),
        ('A man in a red shirt is walking two dogs on the street.',
         'A man, a red shirt, dogs, the street'),
        ('person. traffic light. CD player. hot dog',
         'person, traffic light, CD player, hot dog'),
        ('a red car parked on a street in front of a tall white building',
         'a red car, a street, a tall white building'),
        ('A potted plant on a dining table near the parking meter',
         'A potted plant, a dining table, the parking meter'),
        ('people riding horses', 'people, horses'),
        ('Two dogs play; a dog sleeps', 'dogs, a dog'),
        ("The dog's tail", 'The dog, tail'),
        ('an orange cat that sits on a couch', 'an orange cat, a couch'),
        ('A young girl is preparing to blow out her candle.',
         'A young girl, candle'),
        ('dogs are looking up while they stand near it', 'dogs'),
        ('a close-up of a pizza with cheese', 'a pizza, cheese'),
        ('A white and beige tiled bathroom', 'beige tiled bathroom'),
        ('a dog near a dog', 'a dog, a dog'),
        ('the İstanbul bridge', 'the İstanbul bridge'),
        ('a white', ''),
        ('three of 12', ''),
        ('. , !', ''),
        ('', ''),
    ],
)  # fmt: skip
def test_phrases_are_an_article_adjectives_and_nouns(caption, found):
    assert read(caption) == (found.split(', ') if found else [])


def test_every_object_of_the_shapes_world_is_found():
    missed = []
    for seed in range(150):
        scene = draw_scene(seed, 64, concepts())
        caption, spans, _ = phrases(scene)
        ends = {stop for _, stop in noun_phrases(caption)}
        missed += [caption for _, stop in spans if stop not in ends]
        assert len(ends) == len(spans)
    assert not missed


def test_free_text_is_grounded_with_our_rules_by_default():
    (one,) = ground('a dog near a cat and a dog', CLIPSpanTokenizer())
    assert one.names == ['a dog', 'a cat']
    assert one.labels == [0, 1, 0]


def test_nltk_and_spacy_are_asked_for_by_name(monkeypatch):
    tags = dict(a='DT', red='JJ', dog='NN', runs='VBZ', all='PDT')
    nltk = SimpleNamespace(pos_tag=lambda words: [(w, tags[w]) for w in words])
    monkeypatch.setitem(sys.modules, 'nltk', nltk)
    split = splitter_of('nltk')
    assert read('all a red dog runs', split) == ['a red dog']
    chunk = SimpleNamespace(start_char=2, end_char=5)
    doc = SimpleNamespace(noun_chunks=[chunk])
    spacy = SimpleNamespace(load=lambda name: lambda text: doc)
    monkeypatch.setitem(sys.modules, 'spacy', spacy)
    assert read('a red dog', splitter_of('spacy')) == ['red']


@pytest.mark.parametrize('name', ['nltk', 'spacy'])
def test_an_absent_package_is_told_with_the_way_to_get_it(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'pip install {name}'):
        splitter_of(name)('a dog')


def test_an_unknown_splitter_is_told():
    with pytest.raises(ValueError, match="'rules', 'nltk'"):
        splitter_of('ltk')
    assert splitter_of(len) is len
