import sys
from pathlib import Path

import numpy as np
import pytest

ROOM = Path(__file__).parent
sys.path.insert(0, str(ROOM))

import check  # noqa: E402
from cases import load_case, save_case  # noqa: E402

CASES = ROOM / 'cases/groupvit'


def missed(meta, arrays, ours):
    rows = check.compare(meta, arrays, ours)
    return {name for name, error, limit in rows if not error <= limit}


@pytest.mark.dist
def test_the_rank_that_has_another_loss_is_told():
    import groupvit

    meta, arrays = load_case(CASES / 'loss_two_ranks.npz')
    ours = groupvit.rank_loss(meta, arrays)
    swapped = arrays | dict(out_loss=arrays['out_loss'][::-1])
    assert missed(meta, swapped, ours) == {'out_loss'}
    bare = {k: v for k, v in arrays.items() if 'multi_label' not in k}
    assert missed(meta, bare, groupvit.rank_loss(meta, bare)) == set()


def test_another_token_is_missed(tmp_path, capsys):
    meta, arrays = load_case(CASES / 'tokens.npz')
    arrays['out_tokens'][2, 3] += 1
    save_case(tmp_path / 'x.npz', meta, arrays)
    assert check.main([str(tmp_path / 'x.npz')]) == 1
    assert 'MISSED out_tokens' in capsys.readouterr().out


def test_a_few_pixels_may_differ_and_no_more():
    from groupvit import LOST_PIXELS, few_misses, trimmed_distance

    labels = np.zeros((40, 50), np.uint8)
    other, scores = labels.copy(), np.ones((1, 3, 40, 50))
    other.flat[:10] = 1
    assert few_misses(labels[None], other).error <= LOST_PIXELS
    assert trimmed_distance(scores, scores + other) == 0
    other.flat[:20] = 1
    assert few_misses(labels[None], other).error > LOST_PIXELS
    assert trimmed_distance(scores, scores + other) > 1e-3
    assert trimmed_distance(scores[:, :2], scores) == np.inf
