"""The benchmark of drawing: its count, its lines, its verdict."""

import time

import pytest

from benchmarks import shapes_drawing as benchmark


def test_the_pace_is_pictures_by_processor_time():
    def spin(seed):
        end = time.process_time() + 0.01
        while time.process_time() < end:
            pass

    assert benchmark.pace(spin, 0.2) == pytest.approx(100, rel=0.1)


def test_every_kind_of_picture_has_a_line(capsys):
    assert benchmark.main(['--seconds', '0.05']) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in benchmark.PICTURES)


def test_a_missed_target_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, 'pace', lambda draw, seconds: 150)
    assert benchmark.main([]) == 1
    assert '0.8 times' in capsys.readouterr().out
