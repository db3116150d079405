import pytest
import torch

from mmclip.evaluation.naming import (
    derangement,
    hits_among,
    mean_of_classes,
    measure,
    shuffled_hits,
    table,
)

BASE, NOVEL = [0, 1], [2, 3, 4]


def test_only_the_names_that_compete_can_win():
    logits = torch.tensor([[9.0, 0.0, 2.0, 1.0], [9.0, 0.0, 1.0, 2.0]])
    labels = torch.tensor([2, 2])
    novel = torch.tensor([2, 3])
    assert hits_among(logits, labels, novel).tolist() == [True, False]
    assert not hits_among(logits, labels, torch.arange(4)).any()


def test_rare_classes_count_as_much_as_frequent_ones():
    hits = torch.tensor([True, True, True, False])
    labels = torch.tensor([5, 5, 5, 8])
    assert mean_of_classes(hits, labels) == 0.5


@pytest.mark.parametrize('count', [2, 3, 17])
def test_a_derangement_moves_everything(count):
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        order = derangement(count, generator)
        assert sorted(order.tolist()) == list(range(count))
        assert (order != torch.arange(count)).all()


def test_one_name_cannot_be_shuffled():
    with pytest.raises(ValueError, match='1 names cannot be shuffled'):
        derangement(1, torch.Generator())


def test_a_perfect_head_is_always_wrong_once_shuffled():
    labels = torch.tensor([2, 3, 4, 4])
    logits = torch.eye(5)[labels]
    novel = torch.tensor(NOVEL)
    assert hits_among(logits, labels, novel).all()
    assert shuffled_hits(logits, labels, novel, novel, 5) == [0.0] * 5
    assert torch.equal(logits, torch.eye(5)[labels])  # left as it was


def test_shuffling_novel_names_leaves_base_regions_among_base_names_alone():
    logits, labels = torch.randn(30, 5), torch.randint(0, 2, (30,))
    base, novel = torch.tensor(BASE), torch.tensor(NOVEL)
    own = float(hits_among(logits, labels, base).float().mean())
    assert set(shuffled_hits(logits, labels, base, novel, 4)) == {own}


def test_always_the_same_answer_is_seen_through():
    labels = torch.tensor([2, 2, 2, 3])
    logits = torch.tensor([0.0, 0, 1, 0, 0]).expand(4, 5)
    row = next(r for r in measure(logits, labels, BASE, NOVEL))
    assert (row['asked'], row['count']) == ('novel', 4)  # no base region
    assert row['top1'] == row['commonest'] == 0.75
    assert row['class_mean'] == 0.5
    assert row['chance'] == pytest.approx(1 / 3)


def test_the_table_has_a_line_for_each_question():
    logits, labels = torch.randn(40, 5), torch.arange(40) % 5
    rows = measure(logits, labels, BASE, NOVEL, shuffles=3)
    asked = [(row['asked'], row['among']) for row in rows]
    assert asked == [
        ('base', 'base'),
        ('novel', 'novel'),
        ('base', 'all'),
        ('novel', 'all'),
    ]
    assert [row['count'] for row in rows] == [16, 24, 16, 24]
    assert len(table(rows).splitlines()) == 5
