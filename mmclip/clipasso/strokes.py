"""The strokes that an optimiser moves.

M sketches, N strokes in each, S segments of a stroke.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmclip.clipasso.svg import Drawing

KINDS = ('points', 'width', 'color', 'opacity')
WIDEST = 1e4  # pixels


class Strokes(NamedTuple):
    """Hold what a rasteriser draws.

    Attributes:
        points: Control points in pixels (M, N, S, 4, 2).
        width: Half widths in pixels (M, N).
        rgba: Straight colour and opacity (M, N, 4).
    """

    points: Tensor
    width: Tensor
    rgba: Tensor

    def rows(self, index) -> 'Strokes':
        """Return the strokes of some sketches."""
        return Strokes(*(value[index] for value in self))

    def copy(self) -> 'Strokes':
        """Return the values as they are now, on the CPU."""
        return Strokes(*(v.detach().to('cpu', copy=True) for v in self))

    def drawing(self, number: int, size: tuple[int, int]) -> Drawing:
        """Return one sketch on a canvas of (H, W), less invisible strokes."""
        seen = self.rgba[number, :, 3] > 0
        return Drawing(*(v[number][seen].detach().cpu() for v in self), size)


def first_strokes(strokes: Strokes, count: Tensor) -> Strokes:
    """Hide all strokes but the first ones.

    Args:
        strokes: Of M sketches.
        count: How many of each are left (M,).
    """
    number = torch.arange(strokes.width.shape[1], device=count.device)
    return keep_strokes(strokes, number < count[:, None])


def keep_strokes(strokes: Strokes, kept: Tensor) -> Strokes:
    """Hide strokes by making them transparent; ``kept`` is bool (M, N)."""
    rgba = strokes.rgba
    opacity = torch.where(kept, rgba[..., 3], 0)
    rgba = torch.cat([rgba[..., :3], opacity[..., None]], dim=2)
    return strokes._replace(rgba=rgba)


class StrokeParameters(nn.Module):
    """Hold the strokes of up to ``capacity`` sketches as parameters.

    An optimiser keeps its hold on parameters while sketches come and go, so
    room for the largest batch is reserved once and smaller ones use a part.

    Args:
        num_strokes: N.
        num_segments: S.
        width: Half width in pixels at the start.
        optimise: Which of ``'points'``, ``'width'``, ``'color'`` and
            ``'opacity'`` get a gradient.
        capacity: Most sketches at once.
    """

    def __init__(
        self,
        num_strokes: int,
        num_segments: int = 1,
        width: float = 1.5,
        optimise: Sequence[str] = ('points',),
        capacity: int = 1,
    ) -> None:
        super().__init__()
        unknown = [kind for kind in optimise if kind not in KINDS]
        if unknown or not optimise:
            raise ValueError(
                f'optimise is {tuple(optimise)}, expected some of {KINDS}'
            )
        for name, value in (
            ('num_strokes', num_strokes),
            ('num_segments', num_segments),
        ):
            if int(value) != value or value < 1:
                raise ValueError(
                    f'{name} is {value}, expected a whole number from 1'
                )
        if not 0 < width <= WIDEST:
            raise ValueError(
                f'width is {width}, expected half a line in pixels, above 0'
            )
        self.shape = (num_strokes, num_segments)
        self.start_width, self.optimise = width, tuple(optimise)
        self.count = 0  # M
        self.reserve(capacity)

    def reserve(self, capacity: int) -> None:
        """Make room for so many sketches; what was drawn is lost."""
        strokes, segments = self.shape
        old = getattr(self, 'points', None)
        device = 'cpu' if old is None else old.device
        values = dict(
            points=torch.zeros(capacity, strokes, segments, 4, 2),
            width=torch.full((capacity, strokes), float(self.start_width)),
            color=torch.zeros(capacity, strokes, 3),
            opacity=torch.ones(capacity, strokes),
        )
        for name, value in values.items():
            parameter = nn.Parameter(value.to(device), name in self.optimise)
            setattr(self, name, parameter)
        frozen = torch.zeros(capacity, strokes, dtype=torch.bool)
        self.register_buffer('frozen', frozen.to(device))
        order = torch.arange(strokes).repeat(capacity, 1)
        self.register_buffer('order', order.to(device))
        self.count = 0

    @property
    def capacity(self) -> int:
        """Return how many sketches fit."""
        return len(self.points)

    @torch.no_grad()
    def start(self, drawings: Sequence[Drawing], frozen=None) -> None:
        """Set the strokes of new sketches.

        Args:
            drawings: M of them.
            frozen: Whether each stroke stays as it is (M, N); none does by
                default.

        Raises:
            ValueError: There are too many, or their strokes differ in number.
        """
        count = len(drawings)
        if count > self.capacity:
            raise ValueError(
                f'{count} sketches at once, but room for {self.capacity}: '
                'call reserve() before the optimiser is built'
            )
        shapes = {tuple(d.points.shape[:2]) for d in drawings}
        if shapes != {self.shape}:
            raise ValueError(
                f'sketches start with (strokes, segments) {sorted(shapes)}, '
                f'expected {self.shape}'
            )
        self.count = count
        self.points[:count] = stacked([d.points for d in drawings], self)
        self.width[:count] = stacked([d.width for d in drawings], self)
        rgba = stacked([d.rgba for d in drawings], self)
        self.color[:count], self.opacity[:count] = rgba[..., :3], rgba[..., 3]
        self.order[:] = torch.arange(self.shape[0], device=self.order.device)
        self.frozen.zero_()
        if frozen is not None:
            self.frozen[:count] = frozen.to(self.frozen.device)

    def forward(self) -> Strokes:
        """Return the strokes of the M sketches at work, in their order."""
        sketch = torch.arange(self.count, device=self.order.device)[:, None]
        order = self.order[: self.count]
        points, width, color, opacity = (
            hold(getattr(self, kind)[: self.count], self.frozen[: self.count])[
                sketch, order
            ]
            for kind in KINDS
        )
        rgba = torch.cat([color, opacity[..., None]], dim=2)
        return Strokes(points, width, rgba)

    @torch.no_grad()
    def drop(self, dropped: Tensor) -> None:
        """Take strokes off their sketches for good, bool (M, N)."""
        sketch, place = dropped.nonzero(as_tuple=True)
        stroke = self.order[sketch, place]
        self.opacity[sketch, stroke] = 0
        self.frozen[sketch, stroke] = True

    def arrange(self, sketch: int, order: Sequence[int]) -> None:
        """Draw the strokes of a sketch in another order.

        The parameters stay in their places, so an optimiser need not know.

        Args:
            sketch: Which.
            order: Places in the order so far, the first to draw first.
        """
        self.order[sketch] = self.order[sketch][list(order)]

    @torch.no_grad()
    def keep_in_range(self) -> None:
        """Clip widths, colours and opacities after a step.

        The rasteriser clips too, but what it clips has no gradient: without
        this a stroke that became invisible could not come back.
        """
        self.width.clamp_(0, WIDEST)
        self.color.clamp_(0, 1)
        self.opacity.clamp_(0, 1)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        saved = state_dict.get(f'{prefix}points')
        if saved is not None and saved.dim() == 5:
            self.shape = tuple(saved.shape[1:3])
            if saved.shape != self.points.shape:
                self.reserve(len(saved))
        super()._load_from_state_dict(state_dict, prefix, *args)


def stacked(values: Sequence[Tensor], module: StrokeParameters) -> Tensor:
    """Stack values of sketches on a module's device."""
    return torch.stack(list(values)).to(module.points)


def hold(values: Tensor, frozen: Tensor) -> Tensor:
    """Return values (M, N, ...) of which the frozen ones get no gradient."""
    if not values.requires_grad:
        return values
    frozen = frozen.view(*frozen.shape, *[1] * (values.dim() - 2))
    return torch.where(frozen, values.detach(), values)
