"""Draw strokes by the area that they cover, with gradients in closed form.

M images, N strokes in each, S segments, T = M * N, Q = T * S curves, n cells.

Each pixel near a stroke looks up its nearest point on it. There the stroke
is a straight band, of which the pixel's covered area is known exactly; where
it is not straight at the scale of a pixel (ends, cusps, tight bends) the
pixel is divided into smaller cells first. Nothing is sampled at random.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmclip.clipasso import compositing
from mmclip.clipasso.coverage import band
from mmclip.clipasso.curves import Pieces, bernstein, cut, polynomial, position
from mmclip.clipasso.nearest import describe, point_gradient, refine
from mmclip.clipasso.rasterizer import StrokeRasterizer, clip
from mmclip.clipasso.windows import near_cells, start_parameter
from mmclip.registry import MODELS

FARTHEST = 1e5  # pixels; beyond, float32 no longer tells pixels apart
# Newton's steps: what either precision can resolve.
STEPS = {torch.float32: 3, torch.float64: 8}
SHARP = 0.2  # bend per pixel from which a cell is divided


@MODELS.register_module()
class AnalyticRasterizer(StrokeRasterizer):
    """Draw strokes by exact area, on any device that torch knows.

    The same steps exist twice: as tensor operations, and as loops that numba
    compiles for one CPU core, which takes seconds once and is several times
    quicker from then on.

    Coordinates and widths are clipped to 1e5 pixels.

    Args:
        divisions: A cell that an end, a cusp or a tight bend cuts is divided
            into ``divisions ** 2`` smaller ones; 1 leaves it whole.
        samples: The picture is drawn ``samples`` times larger and averaged
            down. This mends pixels in which several edges meet, at about
            ``samples ** 2`` times the cost.
        backend: ``'torch'``, ``'numba'``, or ``'auto'``: numba where it is
            installed and the strokes are on the CPU.

    Raises:
        ImportError: numba is asked for and not installed.
    """

    def __init__(
        self, divisions: int = 3, samples: int = 1, backend: str = 'auto'
    ) -> None:
        super().__init__()
        for name, value in (('divisions', divisions), ('samples', samples)):
            if int(value) != value or value < 1:
                raise ValueError(
                    f'{name} is {value}, expected a whole number from 1'
                )
        if backend not in ('auto', 'torch', 'numba'):
            raise ValueError(
                f"backend is {backend!r}, expected 'auto', 'torch' or 'numba'"
            )
        self.divisions, self.samples = divisions, samples
        self.backend, self.compiled = backend, None
        if backend != 'torch':
            try:
                self.compiled = compiled_strokes()
            except ImportError:
                if backend == 'numba':
                    raise

    def draw(
        self, points: Tensor, width: Tensor, rgba: Tensor, size
    ) -> Tensor:
        """Draw checked strokes on a transparent canvas (M, 4, H, W)."""
        height, wide = (side * self.samples for side in size)
        image = self.strokes_on(points.device).apply(
            clip(points, -FARTHEST, FARTHEST) * self.samples,
            clip(width, 0, FARTHEST) * self.samples,
            rgba,
            (height, wide),
            self.divisions,
        )
        return (
            image if self.samples == 1 else F.avg_pool2d(image, self.samples)
        )

    def strokes_on(self, device: torch.device):
        """Return the function that draws on a device.

        Raises:
            ValueError: numba was asked for and the device is not the CPU.
        """
        if self.backend == 'numba' and device.type != 'cpu':
            raise ValueError(
                f"backend='numba' draws on the CPU, the strokes are on "
                f"{device}: take backend='auto', or move them"
            )
        if self.compiled is None or device.type != 'cpu':
            return Strokes
        return self.compiled


def compiled_strokes():
    """Return the function that draws with numba's loops.

    Raises:
        ImportError: numba is not installed.
    """
    try:
        from mmclip.clipasso.numba_strokes import NumbaStrokes
    except ImportError as error:
        raise ImportError(
            f"backend='numba' needs numba ({error}): pip install "
            "'mmclip[sketch]', or take backend='torch', which draws the same"
        ) from error
    return NumbaStrokes


class Strokes(torch.autograd.Function):
    """Map strokes to premultiplied RGBA (M, 4, H, W)."""

    @staticmethod
    def forward(ctx, points, width, rgba, size, divisions):
        """Draw; see :class:`AnalyticRasterizer`."""
        images, strokes, segments = points.shape[:3]
        height, wide = size
        curves = points.reshape(-1, 4, 2)  # (Q, 4, 2)
        radius = width.reshape(-1)  # (T,)
        need = any(ctx.needs_input_grad[:2])
        cover = cover_cells(curves, radius, segments, size, divisions, need)
        stroke, pixel = cover['stroke'], cover['pixel']
        pixel = pixel + stroke // max(strokes, 1) * (height * wide)
        colour = rgba.reshape(-1, 4)[stroke]  # (n, 4)
        opacity = colour[:, 3].clone()
        colour[:, 3] = 1
        alpha = cover['area'] * opacity
        order = compositing.layers(pixel)
        canvas, below = compositing.paint(
            order, pixel, colour, alpha, images * height * wide
        )
        ctx.order, ctx.shape, ctx.cover = order, points.shape, cover
        ctx.save_for_backward(pixel, colour, opacity, alpha, below)
        return canvas.view(images, height, wide, 4).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Return the gradients of points, width and rgba."""
        pixel, colour, opacity, alpha, below = ctx.saved_tensors
        cover, shape = ctx.cover, ctx.shape
        arrived = gradient.permute(0, 2, 3, 1).reshape(-1, 4).clone()
        by_alpha, by_colour = compositing.unpaint(
            ctx.order, pixel, colour, alpha, below, arrived
        )
        by_colour[:, 3] = by_alpha * cover['area']
        strokes = shape[0] * shape[1]
        by_rgba = colour.new_zeros(strokes, 4)
        by_rgba.index_add_(0, cover['stroke'], by_colour)
        by_rgba = by_rgba.view(*shape[:2], 4)
        if not any(ctx.needs_input_grad[:2]):
            return None, None, by_rgba, None, None
        # of the places at which areas were measured, m of them
        by_area = (by_alpha * opacity)[cover['cell']] * cover['share']
        by_width = colour.new_zeros(strokes)
        by_width.index_add_(
            0, cover['curve'] // shape[2], by_area * cover['by_radius']
        )
        weight, slope = bernstein(cover['t'])  # (m, 4)
        by_point, by_tangent = by_area * cover['by_curve']  # (2, m)
        each = weight[:, :, None] * by_point.t()[:, None]
        each += slope[:, :, None] * by_tangent.t()[:, None]  # (m, 4, 2)
        by_points = colour.new_zeros(strokes * shape[2], 8)
        by_points.index_add_(0, cover['curve'], each.flatten(1))
        by_width = by_width.view(shape[:2])
        return by_points.view(shape), by_width, by_rgba, None, None


def cover_cells(
    curves: Tensor,
    radius: Tensor,
    segments: int,
    size: tuple[int, int],
    divisions: int,
    derivatives: bool,
) -> dict[str, Tensor]:
    """Measure how much strokes cover of the pixels near them.

    Args:
        curves: Control points (Q, 4, 2), the segments of a stroke in a row.
        radius: Half widths (T,).
        segments: S.
        size: (H, W).
        divisions: As in :class:`AnalyticRasterizer`.
        derivatives: Whether they are wanted too.

    Returns:
        ``stroke``, ``pixel`` and ``area``, each (n,). With derivatives, for
        the m places at which areas were measured: ``cell`` and its ``share``
        in it, ``curve``, ``t``, ``by_radius``, each (m,), and ``by_curve``
        (2, 2, m) as of :func:`mmclip.clipasso.nearest.point_gradient`.
    """
    coefficients = polynomial(curves)
    pieces = cut(curves, coefficients)
    cells = near_cells(pieces, pieces.curve // segments, radius, *size[::-1])
    at = torch.stack([cells.column, cells.row]).to(curves.dtype) + 0.5
    curve = pieces.curve[cells.piece]
    start = start_parameter(pieces, cells.piece, at)
    reach = 1.5 * pieces.step[cells.piece]
    whole = Places(coefficients, radius[cells.stroke], curve, at)
    whole.find(start, reach)
    whole.measure(1.0)
    found = dict(stroke=cells.stroke, pixel=cells.row * size[1] + cells.column)
    area = whole.cover.area
    sharp = area.new_empty(0).long()
    if divisions > 1:
        sharp = whole.sharp(cells.rival >= 0)
    small = whole.divide(sharp, divisions)
    small.find(
        whole.t[sharp].repeat_interleave(divisions**2),
        2 * reach[sharp].repeat_interleave(divisions**2),
    )
    if segments > 1:
        small.cross_joints(segments)
    small.meet(pieces, cells.rival[sharp].repeat_interleave(divisions**2))
    small.measure(1 / divisions)
    area[sharp] = small.cover.area.view(-1, divisions**2).mean(1)
    found['area'] = area.clamp(0, 1)
    if derivatives:
        share = torch.ones_like(area)
        share[sharp] = 0
        inside = share.nonzero()[:, 0]
        found['cell'] = torch.cat(
            [inside, sharp.repeat_interleave(divisions**2)]
        )
        found['share'] = torch.cat(
            [share[inside], share.new_full((len(small.curve),), divisions**-2)]
        )
        for name, values in whole.derivatives().items():
            found[name] = torch.cat(
                [values[..., inside], small.derivatives()[name]], dim=-1
            )
    return found


class Places:
    """Cells of one size, each with its curve.

    Args:
        coefficients: Of all curves (4, 2, Q).
        radius: Half width at each place (m,).
        curve: Its curve (m,).
        at: Its centre (2, m).
    """

    def __init__(self, coefficients, radius, curve, at):
        self.all_coefficients = coefficients
        self.coefficients = coefficients[:, :, curve]  # (4, 2, m)
        self.radius, self.curve, self.at = radius, curve, at

    def find(self, t: Tensor, reach: Tensor | float) -> None:
        """Find the nearest points, from starts (m,), no farther than reach."""
        self.t = refine(self.coefficients, self.at, t, reach, STEPS[t.dtype])

    def measure(self, side: float) -> None:
        """Measure the areas that lie in cells of this side."""
        self.near = describe(self.coefficients, self.at, self.t)
        self.cover = band(
            self.near.distance, self.radius, self.near.normal, side
        )

    def cross_joints(self, segments: int) -> None:
        """Move those at a segment's end to the next one, where it is nearer.

        Args:
            segments: S of each stroke.
        """
        number = self.curve % segments
        ahead = (self.t > 0.5) & (number < segments - 1)
        behind = (self.t <= 0.5) & (number > 0)
        some = (ahead | behind).nonzero()[:, 0]
        ahead = ahead[some]
        curve = self.curve[some] + torch.where(ahead, 1, -1)
        start = torch.where(ahead, 0, 1).to(self.t.dtype)
        self.compete(some, curve, start, 0.5)

    def meet(self, pieces: Pieces, rival: Tensor) -> None:
        """Move those to another part of their stroke that are nearer to it.

        Args:
            pieces: Of all curves.
            rival: Piece of the other part, or -1 (m,).
        """
        some = (rival >= 0).nonzero()[:, 0]
        rival = rival[some]
        start = start_parameter(pieces, rival, self.at[:, some])
        reach = 1.5 * pieces.step[rival]
        self.compete(some, pieces.curve[rival], start, reach)

    def compete(self, some, curve, start, reach) -> None:
        """Try other curves and starts for some places; the nearer stays."""
        other = Places(
            self.all_coefficients, self.radius[some], curve, self.at[:, some]
        )
        other.find(start, reach)
        nearer = other.squared() < self.squared()[some]
        some = some[nearer]
        self.t[some] = other.t[nearer]
        self.curve[some] = other.curve[nearer]
        self.coefficients[:, :, some] = other.coefficients[:, :, nearer]

    def squared(self) -> Tensor:
        """Return the squared distances (m,)."""
        away = self.at - position(self.coefficients, self.t)
        return (away**2).sum(0)

    def sharp(self, contested: Tensor) -> Tensor:
        """Return which cells an edge cuts that is not straight, or two do.

        Args:
            contested: Whether another part of the stroke is near (m,).
        """
        cut = (self.radius - self.near.distance).abs() < 0.75
        cut |= self.near.distance < 0.75 - self.radius
        cut &= (self.near.bend > SHARP) | contested
        return cut.nonzero()[:, 0]

    def divide(self, some: Tensor, divisions: int) -> 'Places':
        """Return the smaller cells of some unit cells, (divisions^2 each)."""
        middle = torch.arange(divisions, device=self.at.device) + 0.5
        middle = middle.to(self.at.dtype) / divisions - 0.5
        grid = torch.cartesian_prod(middle, middle).t()  # (2, divisions^2)
        at = self.at[:, some, None] + grid[:, None]
        return Places(
            self.all_coefficients,
            self.radius[some].repeat_interleave(divisions**2),
            self.curve[some].repeat_interleave(divisions**2),
            at.flatten(1),
        )

    def derivatives(self) -> dict[str, Tensor]:
        """Return what the areas change with, place by place."""
        by_curve = point_gradient(
            self.near, self.cover.by_distance, self.cover.by_normal
        )
        return dict(
            curve=self.curve,
            t=self.near.t,
            by_radius=self.cover.by_radius,
            by_curve=torch.stack(by_curve),
        )
