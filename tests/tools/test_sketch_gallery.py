import importlib.util
from pathlib import Path

from PIL import Image

from mmclip.clipasso.svg import read_svg
from tests.clipasso.conftest import config_text_as_it_is  # noqa: F401
from tests.clipasso.sketching import draw_picture

PATH = Path(__file__).parents[2] / 'tools/draw_sketch_gallery.py'
SPEC = importlib.util.spec_from_file_location('gallery', PATH)
gallery = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gallery)


def test_sheets_and_sketches_are_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, 'SEEDS', (12,))
    draw_picture(tmp_path / 'in/a.png')
    command = [
        *('--photos', str(tmp_path / 'in'), '--clip', 'shapes-clip'),
        *('--out', str(tmp_path / 'out'), '--work', str(tmp_path / 'work')),
        *('--iters', '1', '--seeds', '1', '--strokes', '2'),
    ]
    assert gallery.main(command) == 0
    names = sorted(f.name for f in (tmp_path / 'out').iterdir())
    assert names == [
        'photographs-a.svg',
        'photographs.jpg',
        'shapes-scene12.svg',
        'shapes.jpg',
    ]
    with Image.open(tmp_path / 'out/shapes.jpg') as sheet:
        assert sheet.width == gallery.SIDE
    before = read_svg(tmp_path / 'out/shapes-scene12.svg').points
    assert len(before) == 2
    monkeypatch.setattr(gallery.Sketcher, '__call__', None)  # not needed
    assert gallery.main(command) == 0
    after = read_svg(tmp_path / 'out/shapes-scene12.svg').points
    assert after.equal(before)
