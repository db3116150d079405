"""Draw strokes with the compiled kernel, as a function that torch can derive.

M images, N strokes in each, S segments, T = M * N, n cells.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmclip.clipasso import numba_kernel as kernel
from mmclip.clipasso.analytic_rasterizer import STEPS


def array(values: Tensor):
    """Return values as a contiguous float64 array."""
    return values.detach().double().contiguous().numpy()


class NumbaStrokes(torch.autograd.Function):
    """Map strokes to premultiplied RGBA (M, 4, H, W), on the CPU."""

    @staticmethod
    def forward(ctx, points, width, rgba, size, divisions):
        """Draw; see :class:`mmclip.clipasso.AnalyticRasterizer`."""
        images, strokes, segments = points.shape[:3]
        height, wide = size
        colour = array(rgba).reshape(-1, 4)
        cover = kernel.cover_cells(
            array(points).reshape(-1, 4, 2),
            array(width).reshape(-1),
            segments,
            wide,
            height,
            divisions,
            STEPS[points.dtype],
        )
        canvas = points.new_zeros(images, 4, height, wide)
        below = kernel.paint(
            *cover[:2], max(strokes, 1), colour, canvas.numpy()
        )
        ctx.cover, ctx.colour, ctx.below = cover, colour, below
        ctx.shape, ctx.divisions = points.shape, divisions
        return canvas

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Return the gradients of points, width and rgba."""
        cells, area = ctx.cover[:2]
        images, strokes, segments = ctx.shape[:3]
        by_alpha, by_rgba = kernel.unpaint(
            cells,
            area,
            max(strokes, 1),
            ctx.colour,
            ctx.below,
            gradient.contiguous().numpy(),
        )

        def answer(values, *shape):
            return torch.from_numpy(values).to(gradient).view(shape)

        by_rgba = answer(by_rgba, images, strokes, 4)
        if not any(ctx.needs_input_grad[:2]):
            return None, None, by_rgba, None, None
        by_area = by_alpha * ctx.colour[cells[:, 0], 3]
        by_points, by_width = kernel.move_curves(
            cells,
            *ctx.cover[2:],
            by_area,
            segments,
            images * strokes * segments,
            ctx.divisions,
        )
        return (
            answer(by_points, *ctx.shape),
            answer(by_width, images, strokes),
            by_rgba,
            None,
            None,
        )
