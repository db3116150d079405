import pytest
import torch
from torch import nn

from mmclip.groupvit.chunks import encode_in_chunks


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Sequential(nn.Linear(8, 8), nn.GELU()) for _ in range(10)),
        nn.Dropout(0.5),
    )


def saved_numbers(encode, chunk_size, rows):
    """Count the numbers that wait for the backward pass."""
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda x: kept.append(x.numel()) or x, lambda x: x
    )
    with hooks:
        out = encode_in_chunks(encode, chunk_size, rows)
    return out, sum(kept)


def test_chunks_hold_no_activations_and_run_twice(net):
    rows, runs = torch.randn(10, 8), []

    def encode(chunk):
        runs.append(len(chunk))
        return net(chunk)

    _, all_at_once = saved_numbers(encode, None, rows)
    assert all_at_once > 2000
    runs.clear()
    out, little = saved_numbers(encode, 4, rows)
    assert little == rows.numel()  # the inputs alone
    assert runs == [4, 4, 2]
    out.sum().backward()
    assert runs[3:] == [2, 4, 4]  # one chunk after the other


def test_both_passes_draw_the_same_random_numbers(net):
    rows = torch.randn(6, 8)
    torch.manual_seed(5)
    out = encode_in_chunks(net, 2, rows)
    out.sum().backward()
    ours = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    torch.manual_seed(5)
    plain = torch.cat([net(part) for part in rows.split(2)])
    torch.testing.assert_close(out, plain)
    plain.sum().backward()
    torch.testing.assert_close(ours, [p.grad for p in net.parameters()])


def test_lists_and_nothing_are_cut_along(net):
    def encode(rows, pair, nothing):
        assert nothing is None
        assert [len(p) for p in pair] == [len(rows)] * 2
        return rows + pair[0] + pair[1]

    rows = torch.arange(5.0)[:, None]
    with torch.no_grad():
        out = encode_in_chunks(encode, 2, rows, [rows, rows], None)
    torch.testing.assert_close(out, 3 * rows)


def test_a_chunk_of_nothing_is_refused(net):
    with pytest.raises(ValueError, match='chunk_size=0'):
        encode_in_chunks(net, 0, torch.ones(2, 8))
