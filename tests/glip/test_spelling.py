import pytest

from mmclip.glip.spelling import spell
from mmclip.glip.tokenizer import CLIPSpanTokenizer, SpanTokenizer
from tests.glip.words import tokenizer_of

TEXTS = ['a man walks two dogs, and a red cat.', 'the hot bus']


@pytest.mark.parametrize('text', TEXTS)
def test_word_pieces_are_joined_again(text):
    tokenizer = tokenizer_of()
    assert spell(tokenizer, tokenizer.encode(text).ids) == text


@pytest.mark.parametrize('text', ['a naïve cat, on a café table', 'x'])
def test_byte_pairs_are_joined_again(text):
    tokenizer = CLIPSpanTokenizer()
    assert spell(tokenizer, tokenizer.encode(text).ids) == text


@pytest.mark.parametrize(
    'text', ['a red trapezoid left of a cyan hourglass', 'the star.']
)
def test_words_of_the_shapes_world_are_joined_again(text):
    tokenizer = CLIPSpanTokenizer('shapes-clip')
    assert spell(tokenizer, tokenizer.encode(text).ids) == text


def test_half_a_word_of_the_shapes_world_is_left_out():
    tokenizer = CLIPSpanTokenizer('shapes-clip')
    ids = tokenizer.encode('a trapezoid').ids
    assert spell(tokenizer, ids[:3]) == 'a'


def test_an_unknown_id_is_named():
    for tokenizer in (tokenizer_of(), CLIPSpanTokenizer('shapes-clip')):
        with pytest.raises(ValueError, match=r'\[77777\].*vocab_size'):
            spell(tokenizer, [77777])


def test_an_unknown_tokenizer_is_named():
    with pytest.raises(TypeError, match='SpanTokenizer cannot be spelt'):
        spell(SpanTokenizer(0, 1, 2), [1])
