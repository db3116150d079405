"""Every notebook runs from its first cell to its last, and soon."""

import ast
import json
import re
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope
from PIL import Image

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / 'notebooks').glob('*.ipynb'))
TASKS = {'detect', 'ground', 'groups', 'segment', 'sketch'}


def cells(notebook: Path, kind: str = 'code') -> list[dict]:
    found = json.loads(notebook.read_text('utf8'))
    assert found['nbformat'] == 4
    return [cell for cell in found['cells'] if cell['cell_type'] == kind]


def run(source: str, names: dict, where: str):
    """Run a cell; return the value of its last line, as Jupyter shows it."""
    tree = ast.parse(source, where)
    shown = None
    if isinstance(tree.body[-1], ast.Expr) and not source.endswith(';'):
        shown = ast.Expression(tree.body.pop().value)
    exec(compile(tree, where, 'exec'), names)
    if shown is not None:
        return eval(compile(shown, where, 'eval'), names)
    return None


def test_there_is_one_for_each_task():
    assert {file.stem.split('_')[0] for file in NOTEBOOKS} == TASKS


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda file: file.stem)
def test_it_is_stored_without_outputs(notebook):
    for cell in cells(notebook):
        assert cell['outputs'] == []
        assert cell['execution_count'] is None


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda file: file.stem)
def test_its_links_lead_somewhere(notebook):
    text = ''.join(''.join(c['source']) for c in cells(notebook, 'markdown'))
    links = re.findall(r'\]\(([^)#]+)', text)
    assert links
    for link in links:
        assert (notebook.parent / link).resolve().exists(), link


@pytest.mark.slow
@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda file: file.stem)
def test_it_runs(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, pictures = {'__name__': '__main__'}, []
    with DefaultScope.overwrite_default_scope(None):
        for number, cell in enumerate(cells(notebook), 1):
            where = f'{notebook.name}, cell {number}'
            shown = run(''.join(cell['source']), names, where)
            if isinstance(shown, Image.Image):
                pictures.append(shown)
    assert len(pictures) > 2
    for picture in pictures:
        assert picture.getextrema() != ((255, 255),) * 3
        assert min(picture.size) > 100
