import pytest
import torch

from mmclip.groupvit.group_counts import (
    resize_columns,
    resize_rows,
    rows_kept,
)
from tests.groupvit.tiny import backbone, images


def with_counts(tokens, outputs, **options):
    return backbone(
        num_group_tokens=(*tokens, 0), num_output_groups=outputs, **options
    )


@pytest.mark.parametrize('counts', [(9, 4), (12, 3), (4, 2), (6, 5), (1, 1)])
@torch.no_grad()
def test_a_checkpoint_loads_into_other_numbers_of_groups(counts):
    model = with_counts(counts, counts, resize_groups=True).eval()
    source = backbone().state_dict()
    before = {k: v.clone() for k, v in source.items()}
    model.load_state_dict(source)
    shares = model.encode(images(2)).assignments
    assert [s.shape[1] for s in shares] == list(counts)
    for name, value in source.items():
        assert torch.equal(value, before[name])  # the caller's stays


@torch.no_grad()
def test_equal_numbers_change_nothing():
    model, source = backbone(resize_groups=True).eval(), backbone().eval()
    model.load_state_dict(source.state_dict())
    for a, b in zip(
        model.encode(images(2)).assignments,
        source.encode(images(2)).assignments,
    ):
        torch.testing.assert_close(a, b)


@torch.no_grad()
def test_twins_begin_alike_and_can_part():
    model = with_counts((12, 3), (12, 3), resize_groups=True).eval()
    model.load_state_dict(backbone().state_dict())
    token = model.layers[0].group_token[0]
    gap = (token[6:] - token[:6]).norm() / token[:6].norm()
    assert 0 < gap < 0.1
    shares = model.encode(images(2)).assignments[0]  # (2, 12, 16)
    pairs = shares[:, :6] + shares[:, 6:]
    theirs = backbone().eval().encode(images(2)).assignments[0]
    same = pairs.argmax(dim=1) == theirs.argmax(dim=1)
    # more tokens to attend to change it a little; chance is a sixth
    assert same.float().mean() > 0.5


def test_without_being_asked_other_numbers_are_refused():
    with pytest.raises(RuntimeError, match='size mismatch'):
        with_counts((9, 4), (9, 4)).load_state_dict(backbone().state_dict())


def test_other_widths_are_refused():
    model = backbone(embed_dims=64, resize_groups=True)
    with pytest.raises(ValueError, match='only numbers of groups'):
        model.load_state_dict(backbone().state_dict())


def test_fewer_are_taken_from_all_over():
    assert rows_kept(64, 4).tolist() == [0, 16, 32, 48]
    assert rows_kept(3, 7).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_sums_over_tokens_keep_their_size():
    weight = torch.rand(5, 4)
    ones = torch.ones(4)
    for after in (2, 4, 6, 9):
        resized = resize_columns(weight, after)
        assert resized.shape == (5, after)
        if after >= 4:
            torch.testing.assert_close(resized.sum(dim=1), weight @ ones)
    torch.testing.assert_close(resize_rows(weight, 3, 0), weight[[0, 1, 3]])
