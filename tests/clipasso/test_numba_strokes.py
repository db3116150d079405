import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmclip.clipasso.analytic_rasterizer import AnalyticRasterizer, Strokes
from tests.clipasso.test_analytic_rasterizer import (
    joined,
    line,
    random_strokes,
)

SIZE = (40, 56)


def results(backend, path, width, rgba, size=SIZE, **options):
    """Picture and gradients that a backend gives of the same strokes."""
    leaves = [v.clone().requires_grad_() for v in (path, width, rgba)]
    raster = AnalyticRasterizer(backend=backend, **options)
    image = raster(joined(leaves[0]), *leaves[1:], size)
    weight = torch.linspace(-1, 1, image.numel(), dtype=image.dtype)
    (image * weight.view(image.shape)).sum().backward()
    return image.detach(), *(leaf.grad for leaf in leaves)


def assert_same(a, b, atol=1e-9):
    for ours, theirs in zip(a, b):
        torch.testing.assert_close(ours, theirs, atol=atol, rtol=atol)


@pytest.mark.parametrize('divisions', [1, 3])
@pytest.mark.parametrize('samples', [1, 2])
@pytest.mark.parametrize(
    ('images', 'strokes', 'segments'), [(1, 1, 1), (2, 5, 1), (3, 4, 3)]
)
def test_it_draws_and_derives_what_torch_does(
    images, strokes, segments, samples, divisions
):
    drawn = random_strokes(
        5, images, strokes, segments, SIZE, dtype=torch.float64
    )
    options = dict(samples=samples, divisions=divisions)
    assert_same(*(results(b, *drawn, **options) for b in ('torch', 'numba')))


def test_it_agrees_in_single_precision_but_for_rounding():
    path, width, rgba = random_strokes(2, 4, 16, 1, (224, 224))
    torch_side, numba_side = (
        results(b, path, width, rgba, (224, 224)) for b in ('torch', 'numba')
    )
    far = (torch_side[0] - numba_side[0]).abs()
    # float32 knows coordinates near 200 to 1e-5; numba computes in float64
    assert far.mean() < 1e-6
    assert far.flatten().kthvalue(int(0.9999 * far.numel())).values < 1e-4
    assert far.max() < 0.02  # where rounding decides if a cell is divided
    for ours, theirs in zip(numba_side[1:], torch_side[1:]):
        assert (ours - theirs).norm() < 1e-3 * theirs.norm()


@pytest.mark.parametrize(
    'points',
    [
        [[5, 6], [35, 26], [5, 26], [35, 6]],  # an exact cusp
        [[5, 20], [45, 21], [-10, 19], [30, 20]],  # goes and comes back
        [[9, 9], [9, 9], [9, 9], [9, 9]],  # a dot
        [[5, 5], [40, 30], [-5, 31], [30.3, 5.2]],  # a loop
        [[-900, 3], [700, 80], [-300, -90], [800, 30]],  # far off the canvas
    ],
)
@pytest.mark.parametrize('radius', [0.0, 0.3, 1.5, 9.0])
def test_it_draws_odd_strokes_as_torch_does(points, radius):
    path = torch.tensor(points, dtype=torch.float64)[None, None]
    rgba = torch.tensor([[[0.2, 0.4, 0.6, 0.8]]], dtype=torch.float64)
    width = torch.full((1, 1), radius, dtype=torch.float64)
    ours, theirs = (results(b, path, width, rgba) for b in ('numba', 'torch'))
    assert (ours[0] - theirs[0]).abs().max() < 1e-6
    for mine, other in zip(ours[1:], theirs[1:]):
        assert (mine - other).norm() < 1e-3 * (1 + other.norm())


FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
NEAR = st.floats(-2, 12, width=32)
KINDS = st.sampled_from(['free', 'dot', 'back', 'even'])


def shaped(kind, path):
    """Make control points (1, 1, 7, 2) a dot, a return or a straight path."""
    if kind == 'dot':
        return path[:, :, :1].expand_as(path)
    if kind == 'back':  # a cusp at the joint: the way back is the way there
        return torch.cat([path[:, :, :4], path[:, :, :3].flip(2)], 2)
    if kind == 'even':
        share = torch.linspace(0, 1, 7)[:, None]
        return torch.lerp(path[:, :, :1], path[:, :, -1:], share)
    return path


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    KINDS,
    st.lists(st.one_of(FINITE, NEAR), min_size=14, max_size=14),
    st.one_of(st.just(0.0), NEAR, FINITE),
    st.lists(st.one_of(FINITE, NEAR), min_size=4, max_size=4),
    st.integers(1, 3),
)
def test_no_finite_stroke_gives_nan(kind, points, width, rgba, divisions):
    path = torch.tensor(points).view(1, 1, 7, 2)
    path = shaped(kind, path).nan_to_num(0, 3e38, -3e38)
    found = results(
        'numba',
        path,
        torch.tensor([[width]]),
        torch.tensor([[rgba]]),
        (5, 8),
        divisions=divisions,
    )
    assert all(value.isfinite().all() for value in found)
    assert found[0].min() >= 0
    assert found[0].max() <= 1 + 1e-5


def test_colours_alone_need_no_gradient_of_curves():
    path, width, rgba = random_strokes(1, 1, 3)
    rgba.requires_grad_()
    image = AnalyticRasterizer(backend='numba')(
        joined(path), width, rgba, (20, 24)
    )
    image.sum().backward()
    assert rgba.grad.abs().sum() > 0


def test_without_numba_it_says_what_to_do_and_auto_draws_with_torch(
    monkeypatch,
):
    monkeypatch.setitem(sys.modules, 'mmclip.clipasso.numba_strokes', None)
    with pytest.raises(ImportError, match=r'needs numba.*mmclip\[sketch\]'):
        AnalyticRasterizer(backend='numba')
    raster = AnalyticRasterizer(backend='auto')
    assert raster.strokes_on(torch.device('cpu')) is Strokes
    points = line((2, 2), (9, 6))[None, None]
    image = raster(points, torch.ones(1, 1), torch.ones(1, 1, 4), (9, 12))
    assert image.sum() > 0


def test_strokes_elsewhere_than_on_the_cpu_are_drawn_by_torch():
    gpu = torch.device('cuda', 0)
    assert AnalyticRasterizer().strokes_on(gpu) is Strokes
    with pytest.raises(ValueError, match='draws on the CPU'):
        AnalyticRasterizer(backend='numba').strokes_on(gpu)


def test_an_unknown_backend_is_named():
    with pytest.raises(ValueError, match="backend is 'cuda'"):
        AnalyticRasterizer(backend='cuda')
