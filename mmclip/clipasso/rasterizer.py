"""What every rasteriser of strokes takes and gives.

M images, N strokes in each, S cubic segments of a stroke, H x W pixels.

Convention: points are (x, y) canvas pixels, the origin is the top left corner
and the centre of the first pixel is (0.5, 0.5). ``width`` is HALF of the
drawn line's width, as in diffvg; an SVG's ``stroke-width`` is twice that.
Ends and joints are round. Later strokes lie on top.
"""

import torch
from torch import Tensor, nn


class StrokeRasterizer(nn.Module):
    """Draw strokes; a base class that checks and lays upon a background."""

    def forward(
        self,
        points: Tensor,
        width: Tensor,
        rgba: Tensor,
        size: tuple[int, int],
        background: Tensor | None = None,
    ) -> Tensor:
        """Draw batches of strokes.

        Args:
            points: Control points of cubic segments (M, N, S, 4, 2); each
                segment starts where the last one ended.
            width: Half widths in pixels (M, N); below 0 counts as 0.
            rgba: Straight colour and opacity (M, N, 4), clipped to [0, 1].
            size: (H, W) of the canvas in pixels.
            background: Opaque colour to draw upon, (3,) or (M, 3, H, W) in
                [0, 1]; ``None`` leaves the canvas transparent.

        Returns:
            Premultiplied RGBA (M, 4, H, W), with gradients to the first three
            arguments.

        Raises:
            ValueError: A shape is wrong or a value is not finite.
        """
        check_strokes(points, width, rgba, size)
        wide = torch.float64 if points.dtype == torch.float64 else None
        points, width, rgba = (
            v.to(wide or torch.float32) for v in (points, width, rgba)
        )
        with torch.autocast(points.device.type, enabled=False):
            image = self.draw(points, clip(width, 0), clip(rgba, 0, 1), size)
        return image if background is None else lay_upon(image, background)

    def draw(
        self, points: Tensor, width: Tensor, rgba: Tensor, size
    ) -> Tensor:
        """Draw checked strokes on a transparent canvas (M, 4, H, W)."""
        raise NotImplementedError


def clip(values: Tensor, low=-torch.inf, high=torch.inf) -> Tensor:
    """Clip values; those at the limits keep their gradient, those beyond not.

    ``clamp`` gives the limits themselves a gradient in some versions of torch
    and none in others, and an opaque stroke is at a limit.
    """
    beyond = (values < low) | (values > high)
    return torch.where(beyond, values.detach().clamp(low, high), values)


def check_strokes(points: Tensor, width: Tensor, rgba: Tensor, size) -> None:
    """Raise a ValueError where strokes cannot be drawn."""
    shape = tuple(points.shape)
    if len(shape) != 5 or shape[3:] != (4, 2) or shape[2] < 1:
        raise ValueError(
            f'points have the shape {shape}, expected (images, strokes, '
            'segments, 4, 2)'
        )
    for name, value, expected in (
        ('width', width, shape[:2]),
        ('rgba', rgba, (*shape[:2], 4)),
    ):
        if tuple(value.shape) != expected:
            raise ValueError(
                f'{name} has the shape {tuple(value.shape)}, expected '
                f'{expected} for points of shape {shape}'
            )
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f'size is {tuple(size)}, expected (height, width)')
    finite = [torch.isfinite(v).all() for v in (points, width, rgba)]
    if not bool(torch.stack(finite).all()):
        raise ValueError(
            'points, width or rgba hold values that are not finite: the '
            'optimisation has diverged, lower its learning rate'
        )


def lay_upon(image: Tensor, background: Tensor) -> Tensor:
    """Lay premultiplied RGBA (M, 4, H, W) upon an opaque background.

    Raises:
        ValueError: The background is neither (3,) nor (M, 3, H, W).
    """
    background = torch.as_tensor(background).to(image)
    if background.shape == (3,):
        background = background[None, :, None, None]
    expected = (len(image), 3, *image.shape[2:])
    if background.dim() != 4 or any(
        have not in (1, want) for have, want in zip(background.shape, expected)
    ):
        raise ValueError(
            f'background has the shape {tuple(background.shape)}, expected '
            f'(3,) or {expected}'
        )
    colour, alpha = image[:, :3], image[:, 3:]
    colour = colour + (1 - alpha) * background
    return torch.cat([colour, torch.ones_like(alpha)], dim=1)
