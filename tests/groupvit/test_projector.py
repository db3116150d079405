import torch
from torch import nn

from mmclip.groupvit import GroupViTProjector


def test_it_is_a_matrix_a_batch_norm_a_relu_and_a_matrix():
    ours = GroupViTProjector(6, 10, 4)
    plain = nn.Sequential(
        nn.Linear(6, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 4)
    )
    with torch.no_grad():
        for mine, theirs in (
            (ours.linear_hidden[0], plain[0]),
            (ours.linear_out, plain[3]),
        ):
            theirs.weight.copy_(mine.weight[..., 0])
            theirs.bias.copy_(mine.bias)
    x = torch.randn(3, 5, 6)
    expected = plain(x.flatten(0, 1)).unflatten(0, (3, 5))
    torch.testing.assert_close(ours(x), expected)
    torch.testing.assert_close(
        ours.eval()(x[0, 0]), plain.eval()(x[0, 0][None])[0]
    )
