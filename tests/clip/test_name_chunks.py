import pytest
import torch

from mmclip.clip.name_chunks import best_labels, better


def test_the_better_of_two_is_taken_and_the_first_of_equals():
    old = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 0, 0])
    new = torch.tensor([2.0, 2.0, 1.0]), torch.tensor([5, 5, 5])
    score, label = better(old, new)
    assert score.tolist() == [2, 2, 3]
    assert label.tolist() == [5, 0, 0]


@pytest.mark.parametrize('size', [1, 3, 10, 20])
def test_labels_are_those_of_argmax(size):
    scores = torch.randint(0, 5, (2, 10, 6, 7)).float()  # many ties
    chunks = [
        (start, scores[:, start : start + size])
        for start in range(0, 10, size)
    ]
    found = best_labels(chunks, [{}, {}], lambda part, meta: part)
    assert torch.equal(torch.stack(found), scores.argmax(dim=1))


def test_each_image_is_brought_to_its_own_size():
    chunks = [(0, torch.randn(2, 4, 6, 7))]
    found = best_labels(chunks, [3, 5], lambda part, rows: part[:, :rows])
    assert [tuple(label.shape) for label in found] == [(3, 7), (5, 7)]
