"""The benchmark of the text embeddings, with a tower of two narrow layers."""

from benchmarks import vocabulary as benchmark
from tests.clip.conftest import make_config


def test_both_sides_agree_and_the_cache_is_faster():
    names = benchmark.lvis_names(5)
    times = benchmark.measure(make_config(), names, templates=4, slice_size=2)
    assert times.difference <= benchmark.TOLERANCE
    assert 0 < times.second < times.first


def test_the_plain_loop_may_take_one_turn_in_several():
    names = benchmark.lvis_names(5)
    times = benchmark.measure(
        make_config(), names, templates=2, slice_size=1, every=2
    )
    assert times.names == 3
    assert times.alone > 0
    assert times.difference <= benchmark.TOLERANCE


def test_the_report_names_both_sides_and_their_ratios(capsys):
    times = benchmark.Times(
        open_clip=30, first=10, second=0.1, difference=1e-7
    )
    assert benchmark.report(times, names=5, templates=4) == 0
    printed = capsys.readouterr().out
    assert '5 names x 4 templates' in printed
    assert '3.0 times faster' in printed
    assert '300 times faster' in printed


def test_other_numbers_are_a_failure():
    times = benchmark.Times(1, 1, 1, difference=2e-5)
    assert benchmark.report(times, names=1, templates=1) == 1


def test_the_difference_is_seen(monkeypatch):
    loop = benchmark.plain_loop
    monkeypatch.setattr(
        benchmark, 'plain_loop', lambda *args: loop(*args) + 1e-3
    )
    times = benchmark.measure(make_config(), ['cat', 'dog'], templates=2)
    assert times.difference > benchmark.TOLERANCE


def test_names_are_those_of_lvis_in_an_order_of_their_own():
    names = benchmark.lvis_names(1203)
    assert len(set(names)) == 1203
    assert names[:3] == benchmark.lvis_names(3) != sorted(names)[:3]


def test_the_text_side_is_that_of_the_model():
    config = benchmark.text_config('ViT-B-32')
    assert config['text_cfg']['width'] == 512
    assert config['embed_dim'] == 512
