import json

import pytest

from mmclip.inference.text import lists_names, read_text


@pytest.mark.parametrize(
    ('given', 'read'),
    [
        (None, None),
        ('red circle . blue square', 'red circle . blue square'),
        ('a red circle left of a square', 'a red circle left of a square'),
        (['dog', 'cat'], ['dog', 'cat']),
        (('dog',), ['dog']),
        ([], []),
        (
            'dog: a puppy | a hound . cat',
            {'dog': ['a puppy', 'a hound'], 'cat': ['cat']},
        ),
        ('dog: a puppy.', {'dog': ['a puppy']}),
        ('cat\ndog: a puppy', {'cat': ['cat'], 'dog': ['a puppy']}),
        ('dog: puppy . dog: hound', {'dog': ['puppy', 'hound']}),
        (
            {'dog': 'a puppy', 'cat': ['a cat', 'a kitten']},
            {'dog': ['a puppy'], 'cat': ['a cat', 'a kitten']},
        ),
    ],
)
def test_what_is_asked_for_is_read(given, read):
    assert read_text(given) == read


@pytest.mark.parametrize('content', [['dog'], {'dog': ['a puppy', 'hound']}])
@pytest.mark.parametrize('kind', [str, lambda path: path])
def test_a_json_file_is_read(tmp_path, content, kind):
    path = tmp_path / 'names.json'
    path.write_text(json.dumps(content))
    assert read_text(kind(path)) == content


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ('{', 'is no JSON'),
        ('3', 'expected a list of names'),
        ('[1]', 'expected a list of names'),
        ('{}', 'expected a list of names'),
        ('{"dog": [1]}', 'expected a list of names'),
        ('{"dog": null}', 'expected a list of names'),
    ],
)
def test_another_file_says_what_it_should_hold(tmp_path, content, said):
    path = tmp_path / 'names.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=said):
        read_text(str(path))


def test_an_absent_file_is_named():
    with pytest.raises(FileNotFoundError, match=r'no file of names a\.json'):
        read_text('a.json')


def test_names_are_told_from_captions():
    assert lists_names('dog . cat')
    assert lists_names('dog .')
    assert not lists_names('a dog chases a cat.')
