import torch

from mmclip.groupvit.gathering import (
    RankSyncedBatchNorm1d,
    gather_rows,
    world_size,
)


def test_a_single_process_gathers_its_own_rows():
    rows = torch.randn(3, 2, requires_grad=True)
    (same,), start = gather_rows(rows)
    assert same is rows
    assert (start, world_size()) == (0, 1)


def test_a_single_process_normalises_as_torch_does():
    ours, torchs = RankSyncedBatchNorm1d(4), torch.nn.BatchNorm1d(4)
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 4, 6)
    torch.testing.assert_close(ours(x), torchs(x))
    torch.testing.assert_close(ours.state_dict(), torchs.state_dict())
