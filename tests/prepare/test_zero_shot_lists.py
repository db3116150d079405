import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

FILE = Path(__file__).parents[2] / 'tools/prepare/zero_shot_lists.py'
spec = importlib.util.spec_from_file_location('zero_shot_lists', FILE)
lists = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lists)


@pytest.fixture
def maps(tmp_path):
    folder = tmp_path / 'maps'
    folder.mkdir()
    for name, values in (('a', (6, 12)), ('b', (0, 20))):
        label = np.full((4, 4), 255, np.uint8)
        label[0], label[1, :2] = values
        cv2.imwrite(str(folder / f'{name}.png'), label)
    return folder


def test_each_class_of_each_map_is_a_line(maps, tmp_path):
    out = tmp_path / 'lists/test.txt'
    assert lists.main(['pascal', str(maps), str(out)]) == 0
    assert out.read_text() == 'a__06\na__12\nb__20\n'


def test_small_classes_and_other_maps_are_left_out_where_asked(maps, tmp_path):
    out, names = tmp_path / 'out.txt', tmp_path / 'names.txt'
    names.write_text('a\n')
    words = ['--min-pixels', '3', '--names', str(names)]
    assert lists.main(['pascal', str(maps), str(out), *words]) == 0
    assert out.read_text() == 'a__06\n'


@pytest.mark.parametrize('fault', ['beyond', 'colour', 'image', 'empty'])
def test_a_fault_is_said_and_nothing_is_written(maps, tmp_path, capsys, fault):
    out, words = tmp_path / 'out.txt', []
    if fault == 'beyond':
        cv2.imwrite(str(maps / 'c.png'), np.full((2, 2), 33, np.uint8))
    elif fault == 'colour':
        cv2.imwrite(str(maps / 'c.png'), np.zeros((2, 2, 3), np.uint8))
    elif fault == 'image':
        words = ['--images', str(tmp_path)]
    else:
        for file in maps.glob('*'):
            file.unlink()
    assert lists.main(['pascal', str(maps), str(out), *words]) == 1
    assert not out.exists()
    message = {
        'beyond': 'values [33] beyond 20 classes',
        'colour': 'c: no map of one channel',
        'image': 'a: no image in',
        'empty': '0 lines',
    }[fault]
    assert message in capsys.readouterr().err
