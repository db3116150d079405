"""The benchmark of GLIP's head, its own side and its sums.

mmdet's side needs an old transformers, so it runs by hand alone.
"""

import pytest
import torch

from benchmarks import glip as benchmark


def test_levels_are_those_of_a_padded_image():
    sides = [x.shape[2:] for x in benchmark.levels_of((800, 1344))]
    assert [tuple(s) for s in sides] == [
        (100, 168), (50, 84), (25, 42), (13, 21), (7, 11)
    ]  # fmt: skip


def test_words_are_padded_as_mmdet_pads_them():
    words = benchmark.words_of(194, batch=2)
    assert words['hidden'].shape == (2, 256, 768)
    assert words['masks'].sum(dim=1).tolist() == [194, 194]
    assert (words['embedded'][:, 194:] == 0).all()


def test_a_difference_is_seen():
    outputs = [[torch.ones(1, 4, 6)], [torch.ones(1, 4, 2, 2)]]
    shorter = [[torch.ones(1, 4, 5)], [torch.ones(1, 4, 2, 2)]]
    assert benchmark.difference(outputs, shorter) == 0
    shorter[1][0][0, 0, 0, 0] = 3
    assert benchmark.difference(outputs, shorter) == pytest.approx(0.5)


def test_a_line_names_both_sides_and_their_ratio():
    text = benchmark.line('head', 4.0, 1.0, 's', '<= 0.7')
    assert 'mmdet      4.00 s  mmclip      1.00 s  ratio  0.25' in text


def test_the_peak_of_a_layer_is_measured(monkeypatch):
    monkeypatch.setitem(benchmark.SIZES, 'tiny', (160, 160))
    assert benchmark.fusion_peak('mmclip', 'tiny', 256) >= 0
    before = benchmark.peak_kb(reset=True)
    block = torch.ones(256 << 18)  # 262,144 kB; what others free meanwhile
    assert benchmark.peak_kb() - before > 150_000  # is taken off
    del block
