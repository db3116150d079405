import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmclip.clipasso.analytic_rasterizer import AnalyticRasterizer
from mmclip.clipasso.curves import elevate, path_segments
from mmclip.registry import MODELS
from tests.clipasso.conftest import BLACK


@pytest.fixture(params=['torch', 'numba'], autouse=True, scope='module')
def backend(request):
    """Every test here draws with either backend."""
    with pytest.MonkeyPatch.context() as patch:
        defaults = (3, 1, request.param)
        patch.setattr(AnalyticRasterizer.__init__, '__defaults__', defaults)
        yield request.param


CASES = Path(__file__).parents[1] / 'golden/cases/clipasso'


def line(start, end):
    """A straight stroke (1, 4, 2) with even control points."""
    return elevate(torch.tensor([start, end]))[None]


def alpha(points, radius, size, **options):
    """Draw one black stroke (S, 4, 2); return its coverage (H, W)."""
    raster = AnalyticRasterizer(**options)
    width = torch.full((1, 1), float(radius))
    rgba = BLACK.expand(1, 1, 4)
    return raster(points[None, None], width, rgba, size)[0, 3]


def random_strokes(seed, images, strokes, segments=1, size=(20, 24), **kind):
    """Draw smooth random paths: points (M, N, 3 S + 1, 2), width, RGBA."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator, **kind)

    side = torch.tensor(size[::-1], **kind)
    path = uniform(images, strokes, 3 * segments + 1, 2) * side
    return (
        path,
        0.4 + 2 * uniform(images, strokes),
        uniform(images, strokes, 4),
    )


def joined(path):
    """Cubic segments (M, N, S, 4, 2) of paths that share their ends."""
    count = (path.shape[2] - 1) // 3
    return torch.stack(
        [path[:, :, 3 * s : 3 * s + 4] for s in range(count)], 2
    )


def decibels(ours, theirs):
    return -10 * math.log10(float(((ours - theirs) ** 2).mean()))


def test_sixteen_strokes_equal_diffvgs_converged_picture():
    with np.load(CASES / 'raster_clipasso16.npz') as case:
        points = torch.from_numpy(case['in_points'])[None, :, None]
        width = torch.from_numpy(case['in_width'])[None]
        rgba = torch.from_numpy(case['in_color'])[None]
        reference = torch.from_numpy(case['out_alpha_ref'])
        quick = torch.from_numpy(case['out_alpha_2x2'])
    ours = AnalyticRasterizer()(points, width, rgba, (224, 224))[0, 3]
    assert decibels(ours, reference) > 52
    assert decibels(quick, reference) < 35  # what the release trains on


@pytest.mark.parametrize('angle', [0, 10, 30, 45, 77, 90])
@pytest.mark.parametrize('radius', [0.3, 1.5, 6])
def test_a_straight_even_cubic_covers_its_whole_area(angle, radius):
    # diffvg divides by 0 here and draws the caps alone
    turn = math.radians(angle)
    half = 20 * torch.tensor([math.cos(turn), math.sin(turn)])
    centre = torch.tensor([30.3, 30.6])
    points = line((centre - half).tolist(), (centre + half).tolist())
    area = float(alpha(points, radius, (61, 61)).sum())
    wanted = 2 * radius * 40 + math.pi * radius**2
    # of caps thinner than a pixel a little too much is drawn
    assert area == pytest.approx(wanted, rel=2e-3, abs=0.15)


def test_an_upright_edge_covers_exactly_its_share_of_each_pixel():
    picture = alpha(line((5.25, -20), (5.25, 40)), 1.5, (12, 12))
    wanted = torch.zeros(12)
    wanted[3:8] = torch.tensor([0.25, 1, 1, 0.75, 0])
    torch.testing.assert_close(
        picture, wanted.expand(12, 12), atol=2e-5, rtol=0
    )


def test_a_slanted_edge_covers_exactly_its_share_of_each_pixel():
    # y = x: the diagonal halves a pixel; radius sqrt(2)/4 reaches +-1/2 in y
    picture = alpha(line((-20, -20), (40, 40)), math.sqrt(2) / 4, (12, 12))
    inner = picture.diagonal()
    beside = picture.diagonal(1)
    torch.testing.assert_close(
        inner, torch.full_like(inner, 0.75), atol=2e-5, rtol=0
    )
    torch.testing.assert_close(
        beside, torch.full_like(beside, 0.125), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize('radius', [0.5, 1.5, 4, 7])
def test_a_dot_is_a_disc(radius):
    points = torch.tensor([16.3, 15.6]).expand(1, 4, 2)
    area = float(alpha(points, radius, (32, 32)).sum())
    assert area == pytest.approx(math.pi * radius**2, rel=0.012, abs=0.03)


@pytest.mark.parametrize(
    'points',
    [
        [[5, 5], [28, 32], [7, 32], [30, 5]],  # turns sharply
        [[5, 20], [45, 21], [-10, 19], [30, 20]],  # goes and comes back
        [[5, 6], [35, 26], [5, 26], [35, 6]],  # an exact cusp
    ],
)
def test_cusps_are_drawn_whole(points, brute_force):
    points = torch.tensor(points, dtype=torch.float32)[None]
    ours = alpha(points, 1.5, (36, 40)).numpy()
    wanted = brute_force(points, 1.5, (36, 40))
    assert ours.sum() == pytest.approx(wanted.sum(), rel=0.005)
    assert decibels(ours, wanted) > 42


def test_a_loop_whose_sides_share_pixels_has_its_area(brute_force):
    # both sides of a small loop cut the same pixels
    points = torch.tensor([[[5.0, 5], [40, 30], [-5, 30], [30, 5]]])
    wanted = brute_force(points, 1.5, (36, 40)).sum()
    for samples, allowed in ((1, 0.004), (3, 0.003)):
        ours = float(alpha(points, 1.5, (36, 40), samples=samples).sum())
        assert ours == pytest.approx(wanted, rel=allowed)


def test_a_path_with_a_kink_is_joined_roundly(brute_force):
    path = torch.tensor([[5.0, 5], [30, 8], [8, 20]])
    points = path_segments(path, [1, 1])
    ours = alpha(points, 3.0, (26, 36)).numpy()
    assert decibels(ours, brute_force(points, 3.0, (26, 36))) > 40


def test_more_samples_mend_crossing_edges():
    path, width, rgba = random_strokes(3, 1, 6)
    exact = AnalyticRasterizer(samples=8)(joined(path), width, rgba, (20, 24))
    far = [
        float(
            (
                AnalyticRasterizer(samples=n)(
                    joined(path), width, rgba, (20, 24)
                )
                - exact
            )
            .square()
            .mean()
        )
        for n in (1, 2)
    ]
    assert far[1] < far[0] / 2


def test_later_strokes_lie_on_top_and_colours_are_premultiplied():
    points = torch.stack([line((0, 4), (8, 4)), line((4, 0), (4, 8))])[None]
    width = torch.full((1, 2), 1.5)
    rgba = torch.tensor([[[1.0, 0, 0, 1], [0, 0, 1, 0.25]]])
    image = AnalyticRasterizer()(points, width, rgba, (8, 8))[0]
    crossing, blue, paper = image[:, 4, 4], image[:, 0, 4], image[:, 0, 0]
    expected = torch.tensor([0.75, 0, 0.25, 1])
    torch.testing.assert_close(crossing, expected)
    torch.testing.assert_close(blue, torch.tensor([0, 0, 0.25, 0.25]))
    assert paper.eq(0).all()


def test_a_background_shows_where_nothing_is_drawn():
    strokes = torch.stack([line((0, 4), (8, 4))])[None]
    rest = torch.full((1, 1), 1.0), torch.tensor([[[1.0, 0, 0, 0.5]]])
    white = torch.ones(3)
    image = AnalyticRasterizer()(strokes, *rest, (8, 8), background=white)[0]
    assert image[:, 0, 0].eq(1).all()
    torch.testing.assert_close(image[:, 4, 4], torch.tensor([1, 0.5, 0.5, 1]))
    painted = white[:, None, None].expand(1, 3, 8, 8)
    again = AnalyticRasterizer()(strokes, *rest, (8, 8), background=painted)
    assert again[0].equal(image)


def test_a_batch_draws_what_its_images_draw_alone():
    path, width, rgba = random_strokes(0, 3, 4, segments=2)
    raster = AnalyticRasterizer()
    together = raster(joined(path), width, rgba, (20, 24))
    for k in range(3):
        alone = raster(
            joined(path[k : k + 1]),
            width[k : k + 1],
            rgba[k : k + 1],
            (20, 24),
        )
        torch.testing.assert_close(together[k], alone[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize(('images', 'strokes'), [(1, 0), (2, 0), (0, 3)])
def test_no_strokes_leave_the_canvas_empty(images, strokes):
    path, width, rgba = random_strokes(0, images, strokes)
    points = joined(path.requires_grad_())
    image = AnalyticRasterizer()(points, width, rgba, (6, 7))
    assert image.shape == (images, 4, 6, 7)
    assert image.eq(0).all()
    image.sum().backward()
    assert path.grad.shape == path.shape


def test_strokes_off_the_canvas_draw_nothing_and_have_no_gradient():
    points = (line((-9, -9), (-4, -30)))[None, None].requires_grad_()
    image = AnalyticRasterizer()(
        points, torch.ones(1, 1), BLACK.expand(1, 1, 4), (8, 8)
    )
    image.sum().backward()
    assert image.eq(0).all()
    assert points.grad.eq(0).all()


@pytest.mark.parametrize('divisions', [1, 3])
@pytest.mark.parametrize(('seed', 'segments'), [(0, 1), (17, 1), (3, 2)])
def test_gradients_are_those_of_the_picture(seed, segments, divisions):
    strokes = random_strokes(
        seed, 1, 2, segments, size=(12, 14), dtype=torch.float64
    )
    raster = AnalyticRasterizer(divisions=divisions)

    def draw(path, width, rgba):
        return raster(joined(path), width, rgba, (12, 14))

    inputs = [v.requires_grad_() for v in strokes]
    assert torch.autograd.gradcheck(draw, inputs, atol=1e-6, rtol=1e-5)


def test_an_opaque_black_stroke_can_still_fade():
    rgba = BLACK.expand(1, 1, 4).clone().requires_grad_()
    points = line((2, 2), (9, 6))[None, None]
    image = AnalyticRasterizer()(points, torch.ones(1, 1), rgba, (9, 12))
    image.sum().backward()
    assert rgba.grad.gt(5).all()


def test_a_stroke_of_no_width_can_still_grow():
    width = torch.zeros(1, 1, requires_grad=True)
    points = line((2, 2), (9, 6))[None, None]
    image = AnalyticRasterizer()(points, width, BLACK.expand(1, 1, 4), (9, 12))
    image[:, 3].sum().backward()
    assert image.eq(0).all()
    assert width.grad > 5


def test_a_stroke_finds_its_target():
    wanted = alpha(
        torch.tensor([[[4.0, 20], [8, 4], [20, 4], [24, 22]]]), 1.5, (28, 28)
    )
    points = torch.tensor([[[8.0, 18], [10, 9], [17, 8], [20, 19]]])
    points.requires_grad_()
    optimizer = torch.optim.Adam([points], lr=0.3)
    losses = []
    for _ in range(60):
        loss = (alpha(points, 1.5, (28, 28)) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 20


SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
NEAR = st.one_of(SINGLE, st.floats(-4, 12, width=32))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(NEAR, min_size=28, max_size=28),
    st.lists(NEAR, min_size=2, max_size=2),
    st.lists(NEAR, min_size=8, max_size=8),
)
def test_no_finite_stroke_gives_nan(points, width, rgba):
    path = torch.tensor(points).view(1, 2, 7, 2).requires_grad_()
    width = torch.tensor(width).view(1, 2).requires_grad_()
    rgba = torch.tensor(rgba).view(1, 2, 4).requires_grad_()
    image = AnalyticRasterizer()(joined(path), width, rgba, (5, 8))
    image.square().sum().backward()
    for values in (image, path.grad, width.grad, rgba.grad):
        assert values.isfinite().all()
    assert image.min() >= 0
    assert image.max() <= 1 + 1e-5


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_diverged_strokes_are_refused(value):
    points = torch.full((1, 1, 1, 4, 2), value)
    with pytest.raises(ValueError, match='not finite'):
        AnalyticRasterizer()(
            points, torch.ones(1, 1), torch.ones(1, 1, 4), (8, 8)
        )


def test_wrong_shapes_are_named():
    points, width, rgba = torch.ones(1, 2, 1, 4, 2), torch.ones(1, 2), None
    raster = AnalyticRasterizer()
    with pytest.raises(ValueError, match='points have the shape'):
        raster(points[0], width, torch.ones(1, 2, 4), (8, 8))
    with pytest.raises(ValueError, match='rgba has the shape'):
        raster(points, width, torch.ones(1, 2, 3), (8, 8))
    with pytest.raises(ValueError, match='size is'):
        raster(points, width, torch.ones(1, 2, 4), (8, 0))
    rgba = torch.ones(1, 2, 4)
    with pytest.raises(ValueError, match='background has the shape'):
        raster(points, width, rgba, (8, 8), background=torch.ones(2, 3, 4, 4))
    with pytest.raises(ValueError, match='divisions is 0'):
        AnalyticRasterizer(divisions=0)


def test_it_is_built_from_a_config():
    raster = MODELS.build(dict(type='mmclip.AnalyticRasterizer', samples=2))
    assert raster.samples == 2


def test_each_backend_is_the_one_that_draws(backend):
    drawn = AnalyticRasterizer().strokes_on(torch.device('cpu')).__name__
    assert drawn == dict(torch='Strokes', numba='NumbaStrokes')[backend]
