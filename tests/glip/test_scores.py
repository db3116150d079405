import pytest
import torch

from mmclip.glip.scores import label_scores, row_scores

PROBABILITIES = torch.tensor([[0.2, 0.8, 0.5, 0.1]])
ROWS = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]).bool()


@pytest.mark.parametrize(
    ('agg', 'wanted'), [('mean', 0.5), ('max', 0.8), ('power', 0.4)]
)
def test_a_rows_tokens_make_its_score(agg, wanted):
    scores = row_scores(PROBABILITIES, ROWS, agg)
    torch.testing.assert_close(scores, torch.tensor([[wanted, 0.5, 0.0]]))


@pytest.mark.parametrize('agg', ['mean', 'max', 'power'])
def test_tokens_that_were_cut_off_score_nothing(agg):
    rows = torch.tensor([[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]]).bool()
    scores = row_scores(PROBABILITIES, rows, agg)
    torch.testing.assert_close(scores, torch.tensor([[0.0, 0.1]]))


@pytest.mark.parametrize('agg', ['mean', 'max', 'power'])
def test_no_rows_give_no_scores(agg):
    assert row_scores(PROBABILITIES, ROWS[:0], agg).shape == (1, 0)


def test_of_several_ways_to_say_a_label_the_best_counts():
    labels = torch.tensor([0, 1, 0])
    scores = label_scores(PROBABILITIES, ROWS, labels)
    torch.testing.assert_close(scores, torch.tensor([[0.5, 0.5]]))
    best = label_scores(
        PROBABILITIES, ROWS[[2, 1, 0]], labels
    )  # the other way round
    torch.testing.assert_close(best, scores)


def test_an_unknown_aggregation_is_refused():
    with pytest.raises(ValueError, match="score_agg='median'"):
        row_scores(PROBABILITIES, ROWS, 'median')
