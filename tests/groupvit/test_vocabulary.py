import pytest
import torch

from mmclip.groupvit.vocabulary import REMEMBERED, OwnVocabulary


class Encoder:
    """Embeds by the number of tokens, and counts its calls."""

    def __init__(self):
        self.seen, self.weight = [], 1.0

    def __call__(self, ids):
        self.seen.append(len(ids))
        count = (ids != 0).sum(dim=-1).float().mean(dim=1)  # (K,)
        return torch.stack([count, count * 0 + self.weight], dim=1)


def vocabulary(**options):
    encoder = Encoder()
    return OwnVocabulary(encoder, 77, **options), encoder


def test_names_are_encoded_when_asked_for_and_once():
    names, encoder = vocabulary()
    names.set(['cat', 'traffic light'])
    assert (len(names), encoder.seen) == (2, [])
    table = names.embeddings
    assert table.shape == (2, 2)
    torch.testing.assert_close(table.norm(dim=1), torch.ones(2))
    assert names.embeddings is table
    names.set(['dog'])
    names.set(['cat', 'traffic light'])
    assert names.embeddings is table
    assert encoder.seen == [2]


def test_a_name_may_be_called_something_else():
    names, _ = vocabulary(prompts='name', phrases=dict(tvmonitor='a b c'))
    names.set(['tvmonitor', 'x'])
    assert names.names == ['tvmonitor', 'x']
    assert names.said(['tvmonitor']) == dict(tvmonitor=['a b c'])
    first, second = names.embeddings
    assert first[0] / first[1] > second[0] / second[1]  # more tokens


def test_phrases_of_a_name_are_averaged():
    names, encoder = vocabulary(prompts='name')
    names.set({'cat': ['cat', 'a small cat'], 'dog': ['dog']})
    ids = names.tokenize(['cat', 'a small cat'])
    mean = encoder(ids).mean(dim=0)
    torch.testing.assert_close(names.embeddings[0], mean / mean.norm())


def test_templates_make_sentences():
    names, _ = vocabulary(prompts=['{}', 'a red {}'])
    assert names.tokenize(['cat']).shape == (1, 2, 77)


def test_other_weights_mean_other_embeddings():
    names, encoder = vocabulary()
    names.set(['cat'])
    before = names.embeddings
    encoder.weight = 5.0
    names.forget()
    assert not torch.allclose(names.embeddings, before)


def test_given_embeddings_stay_and_get_unit_length():
    names, encoder = vocabulary()
    names.set(torch.tensor([[3.0, 4.0]]), ['cat'])
    names.forget()
    torch.testing.assert_close(names.embeddings, torch.tensor([[0.6, 0.8]]))
    assert encoder.seen == []
    with pytest.raises(ValueError, match=r'2 names came with .*\(1, 2\)'):
        names.set(torch.ones(1, 2), ['cat', 'dog'])


def test_the_silent_name_is_not_encoded():
    names, encoder = vocabulary(silent='background')
    names.set(['cat', 'background', 'dog'])
    assert names.embeddings[1].tolist() == [0, 0]
    assert encoder.seen == [2]
    names.set(['background'])
    with pytest.raises(ValueError, match='name what else there is'):
        names.embeddings  # noqa: B018


def test_no_more_texts_are_kept_than_said():
    names, _ = vocabulary()
    for k in range(REMEMBERED + 1):
        names.set([f'thing {k}'])
        names._known.setdefault(repr(k), None)  # as if encoded
    names.embeddings  # noqa: B018
    assert len(names._known) == 1


def test_without_names_it_says_what_to_do():
    names, _ = vocabulary()
    with pytest.raises(RuntimeError, match='set_vocabulary'):
        names.embeddings  # noqa: B018
    with pytest.raises(ValueError, match='more than once'):
        names.set(['cat', 'cat'])
