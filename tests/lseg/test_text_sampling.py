import pytest
import torch

from mmclip.lseg.text_sampling import TextSampling
from tests.lseg.tiny import NAMES, TABLE, vocabulary

SAID = {'pet': ['dog', 'cow'], 'sky': ['sky'], 'tree': ['tree']}


def sampling(**options):
    return TextSampling(vocabulary(None), **{'prompts': 'name', **options})


def rows_of(found):
    """Return which row of the table each embedding is."""
    table = torch.tensor(TABLE).float()
    return (found @ table.T / table.norm(dim=1)).argmax(dim=1).tolist()


def test_each_phrase_of_a_name_is_drawn_in_its_turn():
    torch.manual_seed(0)
    made = sampling()
    drawn = [rows_of(made.draw(SAID, torch.zeros(1))) for _ in range(40)]
    firsts = [row[0] for row in drawn]
    assert {NAMES[k] for k in firsts} == {'dog', 'cow'}
    assert 8 < firsts.count(NAMES.index('dog')) < 32
    assert {tuple(row[1:]) for row in drawn} == {
        (NAMES.index('sky'), NAMES.index('tree'))
    }


def test_what_is_drawn_has_length_one_and_follows_the_seed():
    made = sampling()
    torch.manual_seed(1)
    first = made.draw(SAID, torch.zeros(1))
    torch.testing.assert_close(first.norm(dim=1), torch.ones(3))
    torch.manual_seed(1)
    assert torch.equal(first, made.draw(SAID, torch.zeros(1)))
    assert made.draw({'sky': ['sky']}, first.double()).dtype == torch.float64


def test_synonyms_are_said_instead():
    made = sampling(synonyms={'sky': ['road', 'boat'], 'tree': 'house'})
    sentences = made.sentences({'sky': ['sky'], 'tree': ['tree']})
    assert sentences == [['road', 'boat'], ['house']]


def test_every_phrase_goes_into_every_template_once():
    made = sampling(prompts=['a {}.', 'the {}.', 'a {}.'])
    assert made.sentences({'pet': ['dog', 'cow']}) == [
        ['a dog.', 'the dog.', 'a cow.', 'the cow.']
    ]


def test_two_names_may_share_a_sentence():
    said = {'screen': ['dog'], 'crt screen': ['dog', 'cow']}
    found = sampling().draw(said, torch.zeros(1))
    assert rows_of(found)[0] == NAMES.index('dog')


def test_the_text_encoder_runs_once_for_a_list_of_names(monkeypatch):
    from mmclip.clip import vocabulary as room

    calls, encode = [], room.encode_names
    monkeypatch.setattr(
        room, 'encode_names', lambda *a: calls.append(1) or encode(*a)
    )
    made = sampling()
    for _ in range(3):
        made.draw(SAID, torch.zeros(1))
    assert len(calls) == 1
    made.draw({'sky': ['sky']}, torch.zeros(1))
    assert len(calls) == 2


def test_without_a_text_encoder_it_says_what_is_missing():
    bare = TextSampling(dict(type='mmclip.Vocabulary'), prompts='name')
    with pytest.raises(ValueError, match='names need a text encoder'):
        bare.draw(SAID, torch.zeros(1))
