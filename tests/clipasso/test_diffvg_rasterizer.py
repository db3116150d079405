import sys
from types import SimpleNamespace

import pytest
import torch

from mmclip.clipasso.diffvg_rasterizer import DiffVGRasterizer
from tests.clipasso.conftest import BLACK


def test_without_pydiffvg_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pydiffvg', None)
    with pytest.raises(ImportError, match='build it from .*mmclip.Analytic'):
        DiffVGRasterizer()


def stand_in(calls):
    """A pydiffvg that notes its calls and paints one flat colour."""

    def record(name):
        return lambda **options: (name, options)

    def serialize_scene(width, height, shapes, groups, use_prefiltering):
        return [dict(shapes=shapes, groups=groups)]

    def apply(width, height, nx, ny, seed, background, scene):
        calls.append((nx, ny, seed, background, scene))
        return torch.full((height, width, 4), 0.5)

    return SimpleNamespace(
        Path=record('path'),
        ShapeGroup=record('group'),
        RenderFunction=SimpleNamespace(
            serialize_scene=serialize_scene, apply=apply
        ),
    )


def test_paths_reach_pydiffvg_joined_and_in_order(monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, 'pydiffvg', stand_in(calls))
    points = torch.rand(1, 3, 2, 4, 2)
    points[:, :, 1, 0] = points[:, :, 0, 3]
    image = DiffVGRasterizer(samples=3, seed=5)(
        points, torch.tensor([[1.0, 2, 3]]), BLACK.expand(1, 3, 4), (6, 8)
    )
    assert image.shape == (1, 4, 6, 8)
    clear, black = calls
    assert clear[:3] == (3, 3, 5)
    assert clear[3] is None
    assert black[3].shape == (6, 8, 4)
    path = clear[4]['shapes'][1][1]
    assert path['points'].shape == (7, 2)
    assert path['points'][4:].equal(points[0, 1, 1, 1:])
    assert float(path['stroke_width']) == 2
    assert path['num_control_points'].tolist() == [2, 2]
    groups = [int(g[1]['shape_ids']) for g in clear[4]['groups']]
    assert groups == [0, 1, 2]
