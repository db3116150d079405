"""The picture of all views on the shapes world's page."""

import importlib.util
from pathlib import Path

from PIL import Image

from mmclip.data.shapes_formats import VIEWS

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / 'docs/en/_static/shapes_views.png'


def load_tool():
    path = ROOT / 'tools/draw_shapes_views.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_made_by_its_command(tmp_path):
    made = tmp_path / 'views.png'
    load_tool().main([str(made)])
    assert Image.open(made).size == Image.open(PICTURE).size
    for path in (made, PICTURE):
        assert path.stat().st_size < 150_000


def test_every_view_is_in_it():
    shown = ' '.join(text for text, _ in load_tool().tiles())
    # a shard holds the same pairs
    assert all(view in shown for view in {*VIEWS, 'crowded'} - {'webdataset'})


def test_the_page_names_every_view():
    page = (ROOT / 'docs/en/shapes.md').read_text(encoding='utf-8')
    assert all(f'| `{view}` |' in page for view in VIEWS)
