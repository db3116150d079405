"""LSeg's benchmark, on a network of four narrow blocks."""

import json

import pytest
import torch

from benchmarks import lseg as benchmark
from benchmarks.lseg_published import PublishedLSeg, TextTower
from tests.lseg.tiny import tiny_lseg


@pytest.fixture(scope='module')
def model():
    built = tiny_lseg(None)
    names = benchmark.random_names(40, 16)  # more than a chunk
    built.set_vocabulary(names['embeddings'], names['names'])
    with torch.no_grad():
        for name, value in built.named_buffers():
            if name.endswith('running_var'):
                value.uniform_(0.5, 2)
    return built


@pytest.fixture(scope='module')
def tower():
    return TextTower(width=16, layers=1, words=100, length=8).eval()


@pytest.mark.parametrize('side', [64, 96])
def test_the_published_order_gives_our_scores(model, side):
    image = benchmark.random_image(side)
    texts = model.decode_head.vocabulary.embeddings
    with torch.no_grad():
        found = PublishedLSeg(model)(image, texts)
        wanted = model(image, mode='tensor')
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_both_sides_take_turns_and_agree(model, tower, capsys):
    image = benchmark.random_image(96)
    times = benchmark.measure(model, tower, image, turns=2)
    assert len(times.published) == len(times.ours) == len(times.text) == 2
    assert times.difference < benchmark.TOLERANCE
    assert times.labels > 0.999
    assert times.seen > 1
    if benchmark.has_bf16():
        assert len(times.ours_bf16) == 2
        assert times.labels_bf16 > 0.8


def test_other_scores_are_a_failure(model, tower, monkeypatch):
    def wrong(self, image, texts):
        return RIGHT(self, image, texts) + 1e-2

    RIGHT = PublishedLSeg.__call__
    monkeypatch.setattr(PublishedLSeg, '__call__', wrong)
    times = benchmark.measure(
        model, tower, benchmark.random_image(64), turns=1
    )
    assert times.difference > benchmark.TOLERANCE
    assert benchmark.report(times) == 1


def test_the_report_tells_each_ratio_and_what_is_missed(capsys):
    good = benchmark.Times([12.0], [12.0], [8.0], [5.0], 1e-6)
    assert benchmark.report(good) == 0
    printed = capsys.readouterr().out
    assert '1.50 times faster (wanted: 1.15)' in printed
    assert '3.00 times faster (wanted: 2.5)' in printed
    assert '2.40 times faster (wanted: 1.6)' in printed
    slow = benchmark.Times([8.0], [12.0], [8.0], [5.0], 1e-6)
    assert benchmark.report(slow) == 1
    no_bf16 = benchmark.Times([12.0], [12.0], [8.0], [], 1e-6)
    assert benchmark.report(no_bf16) == 0
    assert 'no instructions for it' in capsys.readouterr().out


def test_ratios_are_of_turns():
    times = benchmark.Times([2.0, 20.0, 4.0], ours=[1.0, 10.0, 4.0])
    assert times.ratio(times.ours) == 2


@pytest.mark.parametrize(
    ('peaks', 'code'),
    [((400, 200, 210), 0), ((400, 250, 260), 1), ((400, 200, 241), 1)],
)
def test_the_report_of_memory(peaks, code, capsys):
    assert benchmark.report_memory(*peaks) == code
    assert f'ratio {peaks[1] / peaks[0]:.2f}' in capsys.readouterr().out


@pytest.mark.parametrize('side', benchmark.SIDES)
def test_a_peak_is_measured(model, side, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, 'published_model', lambda names: model)
    monkeypatch.setattr(benchmark, 'SIDE', 320)
    threads = str(torch.get_num_threads())
    words = ['--memory-of', side, '--names', '40', '--threads', threads]
    assert benchmark.main(words) == 0
    # 40 full maps of 320 x 320 are 16 MB
    assert 1 < json.loads(capsys.readouterr().out) < 500


def test_the_text_tower_reads_the_token_of_the_end(tower):
    ids = benchmark.random_ids(3, tower)
    with torch.no_grad():
        found = tower(ids)
        ids[:, 5] = 7  # behind the end
        assert found.shape == (3, 16)
        torch.testing.assert_close(tower(ids), found)
