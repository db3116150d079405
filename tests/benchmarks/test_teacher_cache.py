"""The benchmark of the teacher cache, with a few small images."""

import torch

from benchmarks import teacher_cache as benchmark


def test_both_sides_read_the_same(tmp_path):
    benchmark.write_both(tmp_path, images=6, boxes=5, width=8)
    times, gap = benchmark.measure(tmp_path, images=6, passes=2)
    assert list(times) == ['in a pipeline', 'in memory', 'ready', 'in a zip']
    for pth, shards in times.values():
        assert len(pth) == len(shards) == 12
        assert min(*pth, *shards) > 0
    assert gap < 1e-6


def test_another_row_is_seen(tmp_path):
    benchmark.write_both(tmp_path, images=3, boxes=2, width=4)
    path = tmp_path / 'pth/1.pth'
    stored = torch.load(path, weights_only=True)
    stored['emb'][0] = -stored['emb'][0]
    torch.save(stored, path)
    times, gap = benchmark.measure(tmp_path, images=3, passes=1)
    assert gap > 0.1
    assert benchmark.report(times, gap, 2, 4) == 1


def test_the_report_names_both_sides_and_their_ratio(capsys):
    times = dict(stored=([4e-3, 6e-3, 5e-3], [1e-4, 2e-4, 1e-4]))
    assert benchmark.report(times, 0.0, 300, 512) == 0
    printed = capsys.readouterr().out
    assert '3 readings of 300 x 512' in printed
    assert '5.000 ms' in printed
    assert '50.0      (wanted: 20)' in printed
