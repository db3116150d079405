"""Curves, bars and histograms: is what was given what is seen?"""

import json

import numpy as np
import pytest
import torch

from mmclip.cli import main
from mmclip.figures.bars import choose_metric, draw_bars, read_figures
from mmclip.figures.canvas import Sheet, tint, with_labels
from mmclip.figures.curves import draw_curves
from mmclip.figures.distillation import cosines, draw_histogram
from mmclip.visualization import PALETTE


def pixels(picture, index: int) -> int:
    """How many pixels have the ``index``-th colour."""
    return int((picture == PALETTE[index]).all(axis=-1).sum())


def test_a_sheet_has_as_many_plots_as_asked_for():
    assert len(Sheet(1).axes) == 1
    assert len(Sheet(4).axes) == 4
    assert Sheet(1, 2, 1).picture().shape == (120, 240, 3)
    assert tint(0) == pytest.approx(PALETTE[0] / 255)


def test_labels_are_split_from_paths(tmp_path):
    strange = tmp_path / 'a=b'
    strange.mkdir()
    pairs = with_labels(['ViLD=runs/x', 'runs/y', str(strange)])
    assert pairs == [
        ('ViLD', 'runs/x'),
        ('y', 'runs/y'),
        ('a=b', str(strange)),
    ]


def test_each_run_has_its_colour_and_each_number_its_plot():
    falling = dict(loss=[(1, 3.0), (2, 1.0)], mIoU=[(2, 40.0)])
    one = draw_curves(dict(a=falling), ['loss'])
    assert pixels(one, 0) > 20
    assert pixels(one, 1) == 0
    both = draw_curves(dict(a=falling, b=falling), ['loss', 'mIoU'])
    assert both.shape[1] == 2 * one.shape[1]
    other = dict(loss=[(1, 1.0), (2, 3.0)])
    crossed = draw_curves(dict(a=falling, b=other), ['loss'])
    assert pixels(crossed, 0) > 20
    assert pixels(crossed, 1) > 20


def test_by_default_losses_are_drawn_and_a_run_without_any_is_an_error():
    curves = dict(loss=[(1, 1.0)], lr=[(1, 0.1)])
    assert (
        draw_curves(dict(a=curves)) == draw_curves(dict(a=curves), ['loss'])
    ).all()
    with pytest.raises(ValueError, match='nothing logged'):
        draw_curves(dict(a=dict(lr=[(1, 0.1)])))


def test_figures_of_groups_are_read_whatever_the_metric(tmp_path):
    file = tmp_path / 'scalars.json'
    records = [
        {'coco/bbox_base_mAP_50': 0.1, 'coco/bbox_novel_mAP_50': 0.2},
        {'coco/bbox_base_mAP_50': 0.8, 'coco/bbox_novel_mAP_50': 0.6},
        {'base_mIoU': 60.0, 'novel_mIoU': 20.0, 'baseline': 3, 'base_x': 1},
    ]
    file.write_text('\n'.join(map(json.dumps, records)))
    found = read_figures(file)
    assert found == {
        'coco/bbox_*_mAP_50': dict(base=0.8, novel=0.6),
        '*_mIoU': dict(base=60.0, novel=20.0),
    }
    assert choose_metric([found]) == 'coco/bbox_*_mAP_50'
    assert choose_metric([found, {'*_mIoU': {}}]) == '*_mIoU'
    with pytest.raises(ValueError, match='share no metric'):
        choose_metric([found, {}])


def test_a_bar_is_as_high_as_its_figure_in_fractions_or_percents():
    fractions = draw_bars(dict(a=[dict(base=0.8, novel=0.4)]), 'AP50')
    percents = draw_bars(dict(a=[dict(base=80.0, novel=40.0)]), 'AP50')
    assert (fractions == percents).all()
    columns = (fractions == PALETTE[0]).all(axis=-1).sum(axis=0)
    high = columns[: len(columns) // 2].max()
    low = columns[len(columns) // 2 :].max()
    assert high == pytest.approx(2 * low, rel=0.03)


def test_seeds_of_one_label_share_a_bar():
    seeds = [dict(base=0.8, novel=0.4), dict(base=0.6, novel=0.2)]
    picture = draw_bars(dict(a=seeds, b=seeds[:1]), 'AP50')
    assert pixels(picture, 0) > 1000
    assert pixels(picture, 1) > 1000
    assert pixels(picture, 2) == 0


def test_cosines_are_told_by_group_beside_those_of_another_box():
    teachers = torch.eye(4)
    students = torch.eye(4)
    students[3] = torch.tensor([1.0, 0, 0, 1]) / 2**0.5
    groups = ['base', 'base', 'novel', 'novel']
    found = cosines(students, teachers, groups)
    assert list(found) == ['base', 'novel', 'another box']
    assert found['base'] == pytest.approx([1, 1])
    assert found['novel'] == pytest.approx([1, 0.5**0.5])
    assert np.abs(found['another box']).max() < 0.01
    picture = draw_histogram(found, 'a CLIP')
    assert pixels(picture, 0) > 20
    assert pixels(picture, 1) > 20


def test_one_command_draws_a_figure(tmp_path, capsys):
    file = tmp_path / 'scalars.json'
    file.write_text('{"loss": 2.0, "step": 1}\n{"loss": 1.0, "step": 2}\n')
    out = tmp_path / 'new' / 'curves.png'
    assert main(['figure', 'curves', str(file), '--out', str(out)]) == 0
    assert out.is_file()
    words = ['figure', 'curves', str(file), '--keys', 'los']
    assert main([*words, '--out', str(out)]) == 1
    assert "nothing logged is called 'los'" in capsys.readouterr().err
