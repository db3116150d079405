import numpy as np
import pytest
import torch

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clipasso.stroke_init import (
    SaliencyStrokeInit,
    draw_starts,
    spread_points,
    start_probabilities,
)
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
