import numpy as np
import pytest
import torch

from mmclip.cli import main
from mmclip.clipasso.svg import Drawing, write_svg
from mmclip.figures.gallery import draw_gallery, find_sketches, fit


@pytest.fixture
def folder(tmp_path):
    """Three sketches of a black diagonal, wide, high and square."""
    line = torch.tensor([[2.0, 2], [10, 10], [20, 20], [30, 30]])
    for k, size in enumerate([(32, 64), (64, 32), (32, 32)]):
        drawing = Drawing(
            line[None, None],
            torch.tensor([1.5]),
            torch.tensor([[0.0, 0, 0, 1]]),
            size,
        )
        write_svg(tmp_path / f's{k}.svg', drawing)
    (tmp_path / 's0_animated.svg').write_text('<svg/>')
    return tmp_path


def test_every_sketch_has_its_place(folder):
    files = find_sketches(folder)
    assert [f.name for f in files] == ['s0.svg', 's1.svg', 's2.svg']
    sheet = draw_gallery(files, columns=2, size=60)
    rows, columns = sheet.shape[0] // 2, sheet.shape[1] // 2
    dark = [
        (sheet[y : y + rows - 30, x : x + columns] < 60).any()
        for y in (0, rows)
        for x in (0, columns)
    ]
    assert dark == [True, True, True, False]


def test_one_sketch_makes_one_column(folder):
    sheet = draw_gallery(find_sketches(folder)[:1], columns=5, size=60)
    assert sheet.shape[1] < 80


def test_a_long_name_is_cut():
    from PIL import ImageFont

    font = ImageFont.load_default()
    assert fit('cat', 200, font) == 'cat'
    cut = fit('a' * 100, 60, font)
    assert cut.endswith('..')
    assert font.getlength(cut) <= 60


def test_no_sketch_and_a_bad_one_are_named(folder, tmp_path, capsys):
    empty = tmp_path / 'empty'
    empty.mkdir()
    assert main(['figure', 'gallery', str(empty)]) == 1
    assert 'holds no .svg' in capsys.readouterr().err
    (folder / 'a.svg').write_text('<svg')
    words = ['figure', 'gallery', str(folder), '--out', str(empty / 'x.png')]
    assert main(words) == 1
    assert 'a.svg' in capsys.readouterr().err
    assert not list(empty.iterdir())


def test_the_command_writes_the_sheet(folder, tmp_path):
    out = tmp_path / 'sheet.png'
    words = ['--columns', '3', '--size', '40', '--out', str(out)]
    assert main(['figure', 'gallery', str(folder), *words]) == 0
    import cv2

    assert np.array(cv2.imread(str(out))).shape[1] == 3 * 48
