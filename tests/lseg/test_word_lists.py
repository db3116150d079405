import pytest

from mmclip.lseg.word_lists import WORD_LISTS, spoken, word_list


@pytest.fixture(scope='module')
def names():
    from mmseg.datasets import ADE20KDataset

    return list(ADE20KDataset.METAINFO['classes'])


def test_the_released_list_says_the_first_word_of_every_name(names):
    said = spoken(names, word_list('ade20k-released'))
    assert list(said) == names
    assert list(said.values()) == [[name.split()[0]] for name in names]


def test_the_released_list_says_screen_twice(names):
    said = spoken(names, word_list('ade20k-released'))
    assert [k for k, v in enumerate(said.values()) if v == ['screen']] == [
        58,
        130,
    ]


def test_the_right_list_says_all_150_names_in_full(names):
    said = spoken(names, word_list('ade20k'))
    assert [v for (v,) in said.values()] == [name.strip() for name in names]
    assert len({v for (v,) in said.values()}) == 150


def test_the_lists_differ_in_fifteen_names(names):
    right, released = (
        spoken(names, word_list(key)) for key in ('ade20k', 'ade20k-released')
    )
    assert sum(right[n] != released[n] for n in names) == 15


def test_the_words_for_pascal_are_names_of_pascal():
    from mmclip.lseg.folds import PASCAL

    assert set(WORD_LISTS['pascal-words']) <= set(PASCAL)


def test_a_list_of_ones_own_may_say_one_phrase_or_several():
    own = word_list({'dog': 'puppy', 'cow': ['cow', 'bull']})
    assert spoken(['dog', 'cow', 'sky'], own) == {
        'dog': ['puppy'],
        'cow': ['cow', 'bull'],
        'sky': ['sky'],
    }
    assert word_list(None) == {}


def test_an_unknown_list_names_the_known_ones():
    with pytest.raises(ValueError, match='ade20k-released'):
        word_list('ade')
