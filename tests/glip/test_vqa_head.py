import json

import pytest
import torch
from mmdet.structures import DetDataSample
from torch.nn import functional as F

from mmclip.glip.vqa_head import VQAHead

ANSWERS = ['red', 'blue', '2', 'yes']
WIDTH = 8


def asked(answer=None, weight=None, question='what is it?'):
    meta = dict(question=question, gt_answer=answer, gt_answer_weight=weight)
    return DetDataSample(
        metainfo={k: v for k, v in meta.items() if v is not None}
    )


def head(**options):
    torch.manual_seed(0)
    return VQAHead(ANSWERS, WIDTH, **options).eval()


def words(count=1):
    return torch.randn(count, 5, WIDTH, generator=torch.manual_seed(1))


def test_only_the_first_word_is_read():
    inputs = words(2)
    changed = inputs.clone()
    changed[:, 1:] = 0
    assert torch.equal(head()(inputs), head()(changed))
    assert head()(inputs).shape == (2, len(ANSWERS))


@torch.no_grad()
@pytest.mark.parametrize('count', [1, 2])
def test_a_hard_answer_is_a_class(count):
    model = head(loss_type='ce')
    samples = [asked('blue'), asked('yes')][:count]
    wanted = F.cross_entropy(model(words(count)), torch.tensor([1, 3])[:count])
    torch.testing.assert_close(model.loss(words(count), samples), wanted)


@torch.no_grad()
def test_soft_answers_count_by_how_many_gave_them():
    soft = ['red'] * 2 + ['blue'] * 6 + ['pink'] * 2  # of ten annotators
    same = asked(['red', 'blue', 'pink'], [0.2, 0.6, 0.2])
    model = head()
    target = torch.tensor([[2 / 3, 1, 0, 0]])
    wanted = F.binary_cross_entropy_with_logits(
        model(words()), target, reduction='sum'
    )
    for sample in (asked(soft), same):
        torch.testing.assert_close(model.loss(words(), [sample]), wanted)
    model = head(loss_type='ce')
    share = torch.tensor([[0.25, 0.75, 0, 0]])
    wanted = F.cross_entropy(model(words()), share)
    torch.testing.assert_close(model.loss(words(), [same]), wanted)


def test_answers_are_learnt():
    model = head(loss_type='ce').train()
    inputs = words(4)
    samples = [asked(answer) for answer in ANSWERS]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        model.loss(inputs, samples).backward()
        optimiser.step()
    found = model.eval().predict(inputs)
    assert [answer for answer, _ in found] == ANSWERS
    assert all(0.5 < score <= 1 for _, score in found)


def test_an_unknown_answer_is_an_error_or_ignored():
    with pytest.raises(ValueError, match=r"\['pink'\] to 'what is it\?'"):
        head().loss(words(), [asked('pink')])
    quiet = head(unknown='ignore', loss_type='ce')
    both = quiet.loss(words(2), [asked('red'), asked('pink')])
    torch.testing.assert_close(both, quiet.loss(words(1), [asked('red')]))
    assert quiet.loss(words(), [asked('pink')]) == 0


@pytest.mark.parametrize(
    'sample',
    [asked(), asked([]), asked(['red', 'blue'], [1.0])],
    ids=['no answer', 'an empty list', 'a weight too few'],
)
def test_no_answer_is_an_error(sample):
    with pytest.raises(ValueError, match='expected gt_answer'):
        head().loss(words(), [sample])


def test_answers_come_from_files_too(tmp_path):
    lists, numbers = tmp_path / 'a.json', tmp_path / 'b.json'
    lists.write_text(json.dumps(ANSWERS))
    numbers.write_text(json.dumps({a: 3 - k for k, a in enumerate(ANSWERS)}))
    assert VQAHead(lists, WIDTH).answers == ANSWERS
    assert VQAHead(numbers, WIDTH).answers == ANSWERS[::-1]


@pytest.mark.parametrize(
    ('answers', 'said'),
    [
        (None, 'needs its answers'),
        ([], 'got 0 answers'),
        (['a', 'b', 'a'], r"\['a'\] twice"),
    ],
)
def test_answers_must_be_some_and_different(answers, said):
    with pytest.raises(ValueError, match=said):
        VQAHead(answers, WIDTH)


@pytest.mark.parametrize('wrong', [dict(loss_type='l2'), dict(unknown='no')])
def test_an_unknown_mode_is_an_error(wrong):
    with pytest.raises(ValueError, match='expected'):
        head(**wrong)


def test_a_file_that_is_not_there_yet_is_read_when_it_is_needed(tmp_path):
    file = tmp_path / 'answers.json'
    model = VQAHead(file, WIDTH, num_answers=4)
    assert model(words()).shape == (1, 4)
    file.write_text(json.dumps(ANSWERS[:3]))
    with pytest.raises(ValueError, match='has 3 answers, but num_answers=4'):
        model.loss(words(), [asked('red')])
    file.write_text(json.dumps(ANSWERS))
    assert model.loss(words(), [asked('red')]) > 0
