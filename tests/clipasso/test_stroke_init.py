import numpy as np
import pytest
import torch

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clipasso.stroke_init import (
    RandomStrokeInit,
    SaliencyStrokeInit,
    SVGStrokeInit,
    draw_starts,
    spread_points,
    start_probabilities,
)
from mmclip.clipasso.svg import Drawing, write_svg
from mmclip.registry import TASK_UTILS


@pytest.mark.parametrize('use_xdog', [True, False])
@pytest.mark.parametrize('strokes', [1, 7])
def test_strokes_start_short_and_on_the_canvas(tiny_clip, use_xdog, strokes):
    encoder = CLIPImageEncoder(tiny_clip('vit'))
    image = torch.rand(3, 32, 48)
    start = SaliencyStrokeInit(use_xdog=use_xdog, num_segments=2)
    points = start(encoder, image, strokes, seed=4)
    assert points.shape == (strokes, 2, 4, 2)
    assert points[:, 1, 0].equal(points[:, 0, 3])
    begin = points[:, 0, 0]
    assert (begin >= 0).all()
    assert (begin < torch.tensor([48, 32])).all()
    step = (points[:, :, 1:] - points[:, :, :-1]).abs()
    assert (step <= 0.025 * torch.tensor([48, 32]) + 1e-4).all()
    again = start(encoder, image, strokes, seed=4)
    assert again.equal(points)


def test_salient_edges_are_probable_and_the_rest_is_not():
    attention = np.zeros((8, 8))
    attention[2, 3], attention[5, 5], attention[6, 6] = 1, 0.5, 1
    edges = np.ones((8, 8))
    edges[2, 3] = edges[5, 5] = 0
    share = start_probabilities(attention, edges)
    assert share.sum() == pytest.approx(1)
    assert np.count_nonzero(share) == 2
    assert share[2, 3] / share[5, 5] == pytest.approx(np.exp(0.5 / 0.3))


@pytest.mark.parametrize('edges', [None, np.ones((4, 5))])
def test_where_nothing_stands_out_all_pixels_are_equal(edges):
    share = start_probabilities(np.full((4, 5), 0.3), edges)
    np.testing.assert_allclose(share, 1 / 20)


def test_starts_differ_as_long_as_there_are_enough():
    share = np.zeros((6, 6))
    share[0, :4] = 0.25
    assert len(np.unique(draw_starts(share, 4, 0), axis=0)) == 4
    assert draw_starts(share, 9, 0).shape == (9, 2)


def test_no_strokes_have_no_points():
    assert spread_points(np.zeros((0, 2), int), (8, 8), 1, 0).shape == (
        0,
        1,
        4,
        2,
    )


def test_it_is_built_from_a_config():
    built = TASK_UTILS.build(
        dict(type='mmclip.SaliencyStrokeInit', reduce='last')
    )
    assert built.reduce == 'last'


def svg_file(path, strokes=2, size=(24, 24), segments=1):
    points = torch.rand(strokes, segments, 4, 2) * 20
    points[:, 1:, 0] = points[:, :-1, 3]
    drawing = Drawing(
        points,
        torch.full((strokes,), 0.5),
        torch.tensor([1.0, 0.0, 0.0, 1.0]).expand(strokes, 4),
        size,
    )
    write_svg(path, drawing)
    return drawing


def test_a_sketch_goes_on_from_an_svg_with_new_strokes_on_top(tmp_path):
    given = svg_file(tmp_path / 'a.svg')
    start = SVGStrokeInit(str(tmp_path / 'a.svg'), num_segments=2, freeze=True)
    share = np.full((48, 48), 1 / 48**2)
    placed = start.place(share, 5, seed=0)
    assert placed.points.shape == (5, 2, 4, 2)
    torch.testing.assert_close(
        placed.points[:2, :1], 2 * given.points, atol=1e-4, rtol=0
    )
    assert placed.points[0, 1].unique(dim=0).shape[0] == 1  # draws nothing
    assert placed.width.tolist() == [1.0] * 5
    assert placed.rgba[:, 0].tolist() == [1, 1, 0, 0, 0]
    assert start.frozen.tolist() == [True, True, False, False, False]
    alone = start.place(share, 2, seed=0)
    assert alone.points.shape == (2, 2, 4, 2)


def test_an_svg_that_does_not_fit_is_refused(tmp_path):
    path = str(tmp_path / 'a.svg')
    svg_file(path, strokes=3)
    share = np.full((48, 48), 1 / 48**2)
    with pytest.raises(ValueError, match='raise num_strokes'):
        SVGStrokeInit(path).place(share, 2, seed=0)
    with pytest.raises(ValueError, match='does not scale to 48 x 24'):
        SVGStrokeInit(path).place(np.full((48, 24), 1.0), 4, seed=0)


def test_random_starts_ask_no_network():
    share = RandomStrokeInit().probabilities(None, torch.rand(3, 6, 9))
    np.testing.assert_allclose(share, np.full((6, 9), 1 / 54))


def test_towers_without_attention_are_asked_for_their_activation(tiny_clip):
    encoder = CLIPImageEncoder(tiny_clip('timm_resnet'))
    image = torch.rand(3, 160, 160)
    with pytest.raises(ValueError, match='gives no attention'):
        SaliencyStrokeInit().probabilities(encoder, image)
    start = SaliencyStrokeInit(source='activation')
    assert start.probabilities(encoder, image).sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="'attention' or 'activation'"):
        SaliencyStrokeInit(source='gradient')
    with pytest.raises(ValueError, match='temperature'):
        SaliencyStrokeInit(temperature=0)
