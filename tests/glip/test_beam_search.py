from itertools import product

import pytest
import torch

from mmclip.glip.beam_search import beam_search

START, END, VOCAB = 0, 1, 5


def chain(seed: int = 0):
    """A language whose next word follows from the last two."""
    table = 2 * torch.randn(
        VOCAB, VOCAB, VOCAB, generator=torch.manual_seed(seed)
    )

    def step(ids):
        last = ids[:, -1]
        return table[ids[:, -2] if ids.shape[1] > 1 else last * 0, last]

    return step


def likelihood(step, words):
    """The log-probability of a sentence, its end included if it has one."""
    ids, total = [START], 0.0
    for word in words:
        scores = step(torch.tensor([ids]))[0]
        scores[START] = -torch.inf
        total += float(scores.log_softmax(0)[word])
        ids.append(word)
    return total


def search(step, count=1, **options):
    settings = dict(start=START, end=END, max_length=4, never=[START])
    return beam_search(step, count, **settings | options)


def test_one_beam_takes_the_best_word_each_time():
    step = chain()
    (found,), (score,) = search(step)
    ids = [START]
    for _ in range(4):
        scores = step(torch.tensor([ids]))[0]
        scores[START] = -torch.inf
        ids.append(int(scores.argmax()))
        if ids[-1] == END:
            break
    assert found == [i for i in ids[1:] if i != END]
    assert score == pytest.approx(likelihood(step, ids[1:]), abs=1e-5)


@pytest.mark.parametrize('seed', range(4))
def test_enough_beams_find_the_likeliest_sentence(seed):
    step = chain(seed)
    words = range(2, VOCAB)
    sentences = [
        [*body, *end]
        for size in range(5)
        for body in product(words, repeat=size)
        for end in ([[END]] if size < 4 else [[]])
    ]
    best = max(sentences, key=lambda words: likelihood(step, words))
    (found,), (score,) = search(step, beam_size=64)
    assert found == [w for w in best if w != END]
    assert score == pytest.approx(likelihood(step, best), abs=1e-5)
    greedy = search(step)[1][0]
    assert score >= greedy - 1e-6


def test_images_do_not_disturb_each_other():
    steps = [chain(0), chain(1)]

    def both(ids):
        half = len(ids) // 2
        return torch.cat([steps[0](ids[:half]), steps[1](ids[half:])])

    found, _ = search(both, count=2, beam_size=3)
    alone = [search(step, beam_size=3)[0][0] for step in steps]
    assert found == alone


def test_a_penalty_on_length_prefers_longer_sentences():
    def step(ids):  # an end is likely, yet words are good too
        return torch.tensor([-9.0, 1.2, 1.0, -9, -9]).repeat(len(ids), 1)

    short = search(step, beam_size=4)[0][0]
    long = search(step, beam_size=4, length_penalty=2.0)[0][0]
    assert short == []
    assert long == [2, 2, 2]


@pytest.mark.parametrize('wrong', [dict(beam_size=0), dict(max_length=0)])
def test_no_beam_and_no_word_are_errors(wrong):
    with pytest.raises(ValueError, match='expected 1 or more'):
        search(chain(), **wrong)
