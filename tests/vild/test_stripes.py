import pytest

from mmclip.clip.ranks import Progress, Rank


@pytest.mark.parametrize('world', [1, 2, 3, 7])
@pytest.mark.parametrize('count', [0, 1, 5, 12])
def test_ranks_share_all_shards_and_none_twice(world, count):
    shares = [list(Rank(r, world).numbers(count)) for r in range(world)]
    assert sorted(sum(shares, [])) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_torchrun_says_which_rank_this_is(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    monkeypatch.delenv('WORLD_SIZE', raising=False)
    assert Rank.from_environment() == Rank(0, 1)
    monkeypatch.setenv('RANK', '2')
    monkeypatch.setenv('WORLD_SIZE', '4')
    assert Rank.from_environment() == Rank(2, 4)


def test_progress_says_how_far_and_how_long(capsys):
    progress = Progress(300, Rank(1, 2), every=0)
    assert list(progress.over('abc')) == ['a', 'b', 'c']
    assert progress.line(6.0) == '3 of 300 images, 0.5 images/s, 0:09:54 left'
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 3
    assert printed[0].startswith('rank 1: 1 of 300 images')
