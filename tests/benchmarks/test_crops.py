"""The benchmark of the crops, with a few small boxes."""

import torch

from benchmarks import crops as benchmark


def test_both_sides_cut_the_same_pixels():
    pixels = benchmark.photograph(96)
    boxes = benchmark.draw_boxes(4, *pixels.shape[:2])
    pil, own, fidelity = benchmark.measure(pixels, boxes, size=32)
    assert min(pil, own) > 0
    assert len(fidelity) == 8
    assert fidelity.min() > benchmark.WANTED


def test_other_pixels_are_seen(monkeypatch):
    stock = benchmark.theirs
    monkeypatch.setattr(
        benchmark, 'theirs', lambda *args: stock(*args).flip(2)
    )
    pixels = benchmark.photograph(96)
    boxes = benchmark.draw_boxes(2, *pixels.shape[:2])
    pil, own, fidelity = benchmark.measure(pixels, boxes, size=32)
    assert fidelity.max() < 40
    assert benchmark.report(pil, own, fidelity, 32) == 1


def test_boxes_lie_in_the_image():
    boxes = benchmark.draw_boxes(500, 60, 90)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= torch.tensor([90.001, 60.001])).all()


def test_the_report_names_both_sides_and_their_ratio(capsys):
    fidelity = torch.tensor([70.0, 65, 80])
    assert benchmark.report(3.0, 1.5, fidelity, 224) == 0
    printed = capsys.readouterr().out
    assert '3 crops to 224 x 224' in printed
    assert '2.00' in printed
    assert '65.0 dB at worst, median 70.0' in printed
