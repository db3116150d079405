import pytest
import torch

from mmclip.vild.base_names import BaseNames, novel_mask

NAMES = ['cat', 'dog', 'cow']


def test_names_without_boxes_in_training_are_novel():
    record = BaseNames()
    assert record.novel_among(NAMES).all()  # nothing was trained yet
    record.set(['cow', 'cat'])
    assert record.novel_among(NAMES).tolist() == [False, True, False]


def test_the_record_travels_in_the_checkpoint():
    record, other = BaseNames(), BaseNames()
    record.set(['Käse', 'cat'])
    other.load_state_dict(record.state_dict())
    assert other.names == ['Käse', 'cat']
    assert list(record.state_dict()) == ['packed']


def test_a_checkpoint_without_a_record_is_no_error():
    record = BaseNames()
    record.load_state_dict({})
    assert record.names == []


@pytest.mark.parametrize(
    'novel',
    [['dog'], ('dog',), [False, True, False], torch.tensor([0, 1, 0])],
)
def test_novel_names_are_given_by_name_or_mask(novel):
    assert novel_mask(NAMES, novel).tolist() == [False, True, False]


def test_no_novel_name_is_an_answer_too():
    assert novel_mask(NAMES, []).tolist() == [False] * 3


def test_what_is_no_part_of_the_vocabulary_is_an_error():
    with pytest.raises(ValueError, match='horse'):
        novel_mask(NAMES, ['horse'])
    with pytest.raises(ValueError, match='3 names'):
        novel_mask(NAMES, [True, False])
