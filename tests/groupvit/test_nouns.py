import pytest

from mmclip.groupvit.nouns import (
    extractor_of,
    nouns_by_rules,
    phrases_by_rules,
)


@pytest.mark.parametrize(
    ('caption', 'words'),
    [
        (
            'A small brown dog plays with its ball on the grass.',
            ['dog', 'plays', 'ball', 'grass'],
        ),
        ("The man's bike, two bikes & a bike", ['man', 'bike', 'bikes']),
        ('A family is slowly eating jelly', ['family', 'eating', 'jelly']),
        ("they don't know", ['know']),
        ('t-shirts at 50% off', ['t-shirts']),
        ('Ein Café in München', ['ein', 'café', 'münchen']),
        ('the of and very', []),
        ('', []),
        ('  ¿?! 42 ', []),
    ],
)
def test_words_that_name_something_are_kept(caption, words):
    assert nouns_by_rules(caption) == words


def test_a_function_is_its_own_extractor():
    assert extractor_of(str.split)('b a') == ['b', 'a']
    assert extractor_of('rules') is nouns_by_rules


def test_an_unknown_extractor_is_named():
    with pytest.raises(ValueError, match="'spacey'.*rules, phrases, nltk"):
        extractor_of('spacey')


@pytest.mark.parametrize(
    ('caption', 'phrases'),
    [
        ('a small red ring and a star', ['small red ring', 'star']),
        ('red, green and blue', []),
        (
            'a photo of a red striped circle, an orange oval.',
            ['photo', 'red striped circle', 'orange oval'],
        ),
        ('', []),
    ],
)
def test_phrases_keep_the_adjectives_of_a_noun(caption, phrases):
    assert phrases_by_rules(caption) == phrases
