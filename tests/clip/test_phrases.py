import pytest

from mmclip.clip.phrases import split_phrases


@pytest.mark.parametrize(
    ('text', 'names'),
    [
        ('red circle . blue square', ['red circle', 'blue square']),
        ('a red circle. the blue square.', ['red circle', 'blue square']),
        ('cat, dog; cow\nhorse', ['cat', 'dog', 'cow', 'horse']),
        ('cat and dog', ['cat', 'dog']),
        ('cat . cat . dog', ['cat', 'dog']),
        ('anchor', ['anchor']),
        ('bat (animal) . hand . the', ['bat (animal)', 'hand', 'the']),
        ('3.5 inch disk', ['3.5 inch disk']),
        (('cat', 'dog'), ['cat', 'dog']),
        ({'pet': ['cat', 'dog']}, {'pet': ['cat', 'dog']}),
    ],
)
def test_a_text_lists_names(text, names):
    assert split_phrases(text) == names


@pytest.mark.parametrize('text', ['', ' . ', ',;'])
def test_a_text_without_names_is_an_error(text):
    with pytest.raises(ValueError, match='no name'):
        split_phrases(text)
