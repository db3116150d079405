import pytest
import torch

from mmclip.glip.grounding import (
    clean_name,
    ground,
    ground_batch,
    ground_once,
)
from mmclip.glip.token_maps import label_of_token, positive_map
from tests.glip.words import tokenizer_of


def tokens(grounding, tokenizer=None):
    """Return the positions of each row's tokens."""
    rows = grounding.token_map(tokenizer or tokenizer_of())
    return [row.nonzero().flatten().tolist() for row in rows]


def test_a_class_list_is_one_caption():
    (one,) = ground(['dog', 'hot_dog', 'cat_(pet)'], tokenizer_of())
    assert one.caption == 'dog. hot dog. cat '
    assert one.names == ['dog', 'hot_dog', 'cat_(pet)']
    assert tokens(one) == [[1], [3, 4], [6]]


def test_one_name_and_the_same_name_twice():
    assert tokens(ground(['dog'], tokenizer_of())[0]) == [[1]]
    twice = ground(['dog', 'dog'], tokenizer_of())[0]
    assert tokens(twice) == [[1], [3]]
    assert twice.labels == [0, 1]


def test_names_are_cleaned_as_published():
    assert clean_name('bow_(weapon)') == 'bow '
    assert clean_name('a    b') == 'a  b'
    assert clean_name('T-shirt') == 'T-shirt'
    assert clean_name('(only)') == '(only)'


def test_a_list_of_any_length_is_cut_where_the_tokens_end():
    names = [f'{a} dogs' for a in ('red', 'hot', 'two')] * 40
    tokenizer = tokenizer_of()
    chunks = ground(names, tokenizer)
    lengths = [len(tokenizer.encode(c.caption).ids) for c in chunks]
    assert max(lengths) <= 256
    assert min(lengths[:-1]) > 256 - 4  # no room is left for a fourth token
    assert [k for c in chunks for k in c.labels] == list(range(120))
    assert all(c.names == names for c in chunks)
    rows = torch.cat([c.token_map(tokenizer, 256) for c in chunks])
    assert rows.sum(1).tolist() == [3] * 120  # none is lost


@pytest.mark.parametrize(('max_tokens', 'chunks'), [(5, 2), (4, 2), (6, 1)])
def test_the_last_name_needs_no_separator(max_tokens, chunks):
    grounded = ground(['dog', 'red cat'], tokenizer_of(max_tokens))
    assert len(grounded) == chunks


def test_chunks_may_be_of_a_given_size():
    chunks = ground(['dog', 'cat', 'man'], tokenizer_of(), chunk_size=2)
    assert [c.caption for c in chunks] == ['dog. cat', 'man']
    assert [c.labels for c in chunks] == [[0, 1], [2]]


def test_a_name_that_never_fits_is_told():
    with pytest.raises(ValueError, match=r'4 tokens.*holds 3'):
        ground(['cat', 'the two red dog'], tokenizer_of(5))


def test_several_prompts_of_a_label_share_it():
    said = {'animal': ['dog', 'red cat'], 'man': 'a man'}
    (one,) = ground(said, tokenizer_of())
    assert one.caption == 'dog. red cat. a man'
    assert one.names == ['animal', 'man']
    assert one.labels == [0, 0, 1]
    assert tokens(one) == [[1], [3, 4], [6, 7]]
    boxes = positive_map(one, tokenizer_of(), [0, 1])
    assert boxes.sum(1).tolist() == [3, 2]


def test_prefix_and_suffix_are_read_but_not_marked():
    prompts = {'dog': dict(prefix='red ', name='cat', suffix=' on the street')}
    (one,) = ground(['man', 'dog'], tokenizer_of(), prompts=prompts)
    assert one.caption == 'man. red cat on the street'
    assert one.names == ['man', 'dog']
    assert tokens(one) == [[1], [4]]


@pytest.mark.parametrize('names', [[], {}, ['dog', ' '], {'dog': []}])
def test_no_name_is_told(names):
    with pytest.raises(ValueError, match='name|prompt'):
        ground(names, tokenizer_of())


def test_phrases_of_a_caption_have_their_own_tokens_only():
    caption = 'a man walks a dog'
    (one,) = ground(caption, tokenizer_of(), tokens_positive=[[[12, 17]]])
    assert tokens(one) == [[4, 5]]
    assert one.names == ['a dog']


def test_a_phrase_may_have_several_spans_and_overlap_others():
    caption = 'two dogs, a dog'
    spans = [[[0, 8], [10, 15]], [[4, 8]]]
    (one,) = ground(caption, tokenizer_of(), tokens_positive=spans)
    assert tokens(one) == [[1, 2, 3, 5, 6], [2, 3]]
    assert one.names == ['two dogs / a dog', 'dogs']


def test_labels_may_be_the_keys_of_a_dict_with_gaps():
    spans = {2: [[0, 3]], '0': [[4, 8]]}
    (one,) = ground('two dogs', tokenizer_of(), tokens_positive=spans)
    assert tokens(one) == [[2, 3], [], [1]]
    boxes = positive_map(one, tokenizer_of(), torch.tensor([2, 2, 0]))
    assert boxes.int().tolist()[:2] == [[0, 1, 0, 0, 0]] * 2
    with pytest.raises(IndexError, match='label 3 but its caption names 3'):
        positive_map(one, tokenizer_of(), [3])
    assert positive_map(one, tokenizer_of(), []).shape == (0, 5)


def test_the_whole_caption_is_a_phrase():
    (one,) = ground('a red dog', tokenizer_of(), tokens_positive=-1)
    assert one.names == ['a red dog']
    assert tokens(one) == [[1, 2, 3]]


@pytest.mark.parametrize('span', [[-1, 2], [3, 3], [4, 2], [0, 10], [12, 15]])
def test_a_phrase_outside_the_caption_is_told(span):
    with pytest.raises(ValueError, match=r'phrase 1 stands at.*caption of 9'):
        ground('a red dog', tokenizer_of(), tokens_positive=[[[0, 1]], [span]])


def test_an_empty_caption_without_phrases_is_a_negative_image():
    (one,) = ground('', tokenizer_of(), tokens_positive=[])
    assert one.names == []
    assert one.token_map(tokenizer_of()).shape == (0, 2)
    assert positive_map(one, tokenizer_of(), []).shape == (0, 2)


def test_a_span_that_begins_beside_a_token_takes_the_next():
    spans = [[[1, 5]], [[5, 6]], [[2, 6]]]  # ' red', ' ', 'red '
    (one,) = ground('a red dog', tokenizer_of(), tokens_positive=spans)
    assert tokens(one) == [[2], [], [2]]


def test_a_list_in_a_string_is_split_at_full_stops():
    text = 'red dog . hot-dog St.Cat. man .'
    (one,) = ground(text, tokenizer_of(), custom_entities=True)
    assert one.names == ['red dog', 'hot-dog St.Cat', 'man']


def test_a_phrase_said_twice_is_one_label_of_two_rows():
    text = 'a dog on a cat on A dog'
    found = [(0, 5), (9, 14), (18, 23)]
    (one,) = ground(text, tokenizer_of(), splitter=lambda text: found)
    assert one.names == ['a dog', 'a cat']
    assert one.labels == [0, 1, 0]
    assert tokens(one) == [[1, 2], [4, 5], [7, 8]]
    with pytest.raises(ValueError, match='no phrase'):
        ground(text, tokenizer_of(), splitter=lambda text: [])


def test_a_phrase_inside_another_word_is_not_found_again():
    text = 'hotdogs. a dog'
    (one,) = ground(text, tokenizer_of(), splitter=lambda text: [(9, 14)])
    assert tokens(one) == [[3, 4]]


def test_training_reads_one_caption_an_image():
    with pytest.raises(ValueError, match='SampleNegativeClasses'):
        ground_once(['dog', 'cat'], tokenizer_of(4))
    assert ground_once(['dog', 'cat'], tokenizer_of()).caption == 'dog. cat'


@pytest.mark.parametrize('length', [5, 17, 128, 256, 300])
def test_maps_have_the_width_of_the_words_not_of_the_features(length):
    (one,) = ground('a man walks', tokenizer_of(), tokens_positive=[[[2, 5]]])
    rows = one.token_map(tokenizer_of(), length)
    assert rows.shape == (1, length)
    assert rows.nonzero().tolist() == [[0, 2]]
    assert positive_map(one, tokenizer_of(), [0, 0], length).shape == (
        *(2, length),
    )


def test_truncation_leaves_the_lost_words_without_tokens():
    cut = tokenizer_of(4, truncate=True)
    (one,) = ground('a red dog', cut, tokens_positive=[[[0, 5]], [[6, 9]]])
    assert tokens(one, cut) == [[1, 2], []]


def test_one_caption_with_other_phrases_keeps_both_maps():
    tokenizer = tokenizer_of()
    text = 'a man walks a dog'
    batch = ground_batch(
        [
            ground(text, tokenizer, tokens_positive=[[[0, 5]]]),
            ground(text, tokenizer, tokens_positive=[[[12, 17]]]),
        ]
    )
    assert batch.texts == [text]
    assert [(i, t) for i, t, _ in batch.pairs] == [(0, 0), (1, 0)]
    assert [tokens(g) for *_, g in batch.pairs] == [[[1, 2]], [[4, 5]]]
    assert batch.names == [['a man'], ['a dog']]


def test_chunks_of_several_images_are_one_batch():
    tokenizer = tokenizer_of(4)
    lists = [['dog', 'cat'], ['red cat'], ['cat', 'dog', 'man']]
    batch = ground_batch([ground(names, tokenizer) for names in lists])
    assert batch.texts == ['dog', 'cat', 'red cat', 'man']
    pairs = [(i, t) for i, t, _ in batch.pairs]
    assert pairs == [(0, 0), (0, 1), (1, 2), (2, 1), (2, 0), (2, 3)]
    assert batch.names == lists


def test_tokens_know_the_label_that_they_name():
    (one,) = ground(['dog', 'red cat'], tokenizer_of())
    rows = one.token_map(tokenizer_of())
    assert label_of_token(rows, [7, 3]).tolist() == [-1, 7, -1, 3, 3, -1]
