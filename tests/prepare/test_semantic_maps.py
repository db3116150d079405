"""The tools that check ADE20K and make semantic maps of panoptic ones."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def tool(name):
    file = Path(__file__).parents[2] / f'tools/prepare/{name}.py'
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ade20k, panoptic = tool('ade20k'), tool('panoptic_to_semantic')


@pytest.fixture
def ade(tmp_path):
    for split in ('training', 'validation'):
        for kind in ('images', 'annotations'):
            (tmp_path / kind / split).mkdir(parents=True)
        for name, value in (('a', 150), ('b', 0)):
            image = np.zeros((8, 6, 3), np.uint8)
            label = np.full((8, 6), value, np.uint8)
            images = tmp_path / f'images/{split}/{name}.jpg'
            Image.fromarray(image).save(images)
            maps = tmp_path / f'annotations/{split}/{name}.png'
            Image.fromarray(label).save(maps)
    return tmp_path


def test_a_faultless_folder_is_told_in_figures(ade, capsys):
    assert ade20k.main([str(ade), '--any-number']) == 0
    said = capsys.readouterr().out
    assert 'training: 0 faults, 1 of 150 classes seen, 50.0 %' in said


def test_the_official_number_of_images_is_asked_for(ade, capsys):
    assert ade20k.main([str(ade)]) == 1
    assert '2 images with maps, expected 20210' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('made', 'said'),
    [
        (np.zeros((8, 7), np.uint8), '(8, 7) pixels, but its image has (8, 6'),
        (np.full((8, 6), 151, np.uint8), 'values [151] are no classes'),
        (np.zeros((8, 6, 3), np.uint8), 'expected uint8 of one channel'),
        (np.zeros((8, 6), np.uint16), 'uint16 of shape (8, 6)'),
        (None, 'there is no map'),
        (b'damaged', 'cannot be read'),
    ],
)
def test_a_faulty_map_is_named(ade, capsys, made, said):
    path = ade / 'annotations/validation/b.png'
    path.unlink()
    if isinstance(made, bytes):
        path.write_bytes(made)
    elif made is not None:
        Image.fromarray(made).save(path)
    assert ade20k.main([str(ade), '--any-number']) == 1
    out = capsys.readouterr().out
    assert said in out
    assert 'b' in out
    assert 'training: 0 faults' in out


def test_a_map_without_image_and_an_absent_folder_are_faults(ade, capsys):
    (ade / 'images/training/a.jpg').unlink()
    assert ade20k.main([str(ade), '--any-number']) == 1
    assert 'there is no image' in capsys.readouterr().out
    assert ade20k.main([str(ade / 'nowhere')]) == 1
    assert 'there is no such folder' in capsys.readouterr().out


# ---- panoptic maps ----


@pytest.fixture
def coco(tmp_path):
    """Two segments, of categories 3 and 90, and a strip of none."""
    ids = np.zeros((4, 6), int)
    ids[:, :2], ids[:, 2:4] = 5, 70000
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2)
    (tmp_path / 'pngs').mkdir()
    Image.fromarray(colours.astype(np.uint8)).save(tmp_path / 'pngs/x.png')
    content = dict(
        images=[dict(id=1, height=4, width=6)],
        categories=[
            dict(id=90, name='wall'),
            dict(id=3, name='car'),
            dict(id=7, name='sky'),
        ],
        annotations=[
            dict(
                image_id=1,
                file_name='x.png',
                segments_info=[
                    dict(id=5, category_id=3),
                    dict(id=70000, category_id=90),
                ],
            )
        ],
    )
    return tmp_path, content


def convert(root, content):
    (root / 'a.json').write_text(json.dumps(content))
    words = [root / 'a.json', root / 'pngs', root / 'maps']
    return panoptic.main([str(word) for word in words])


def test_segments_become_classes_in_the_order_of_their_ids(coco):
    root, content = coco
    assert convert(root, content) == 0
    label = np.array(Image.open(root / 'maps/x.png'))
    assert label[0].tolist() == [0, 0, 2, 2, 255, 255]
    names = (root / 'maps/classes.txt').read_text().split()
    assert names == ['car', 'sky', 'wall']


def test_maps_that_are_there_stay(coco):
    root, content = coco
    convert(root, content)
    before = (root / 'maps/x.png').stat().st_mtime_ns
    assert convert(root, content) == 0
    assert (root / 'maps/x.png').stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ('fault', 'said'),
    [
        ('segment', 'pixels belong to unknown segments [5]'),
        ('category', 'unknown category 4'),
        ('size', '(4, 6) pixels, but its image has (5, 6)'),
        ('absent', 'No such file'),
        ('format', 'holds no panoptic annotations'),
        ('file', 'there are no annotations'),
    ],
)
def test_faults_are_named_and_write_no_map(coco, capsys, fault, said):
    root, content = coco
    only = content['annotations'][0]
    if fault == 'segment':
        only['segments_info'].pop(0)
    elif fault == 'category':
        only['segments_info'][0]['category_id'] = 4
    elif fault == 'size':
        content['images'][0]['height'] = 5
    elif fault == 'absent':
        only['file_name'] = 'y.png'
    elif fault == 'format':
        del only['segments_info']
    if fault == 'file':
        words = [str(root / name) for name in ('none.json', 'pngs', 'maps')]
        assert panoptic.main(words) == 1
    else:
        assert convert(root, content) == 1
    printed = capsys.readouterr()
    assert said in printed.out + printed.err
    assert not list((root / 'maps').glob('*.png'))
