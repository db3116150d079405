"""Draw strokes with diffvg (Li et al., 2020), where pydiffvg is installed.

M images, N strokes in each, S segments of a stroke.
"""

import torch
from torch import Tensor

from mmclip.clipasso.rasterizer import StrokeRasterizer
from mmclip.registry import MODELS


@MODELS.register_module()
class DiffVGRasterizer(StrokeRasterizer):
    """Draw strokes by random samples, as the release of CLIPasso does.

    diffvg returns straight colours averaged over a pixel, so the colours are
    drawn a second time over black, which makes them premultiplied.

    Args:
        samples: Samples along each side of a pixel.
        seed: Of the samples; the release takes 0 in every iteration.
        prefilter: Whether edges are smoothed instead of sampled, which is
            quicker and blurs.

    Raises:
        ImportError: pydiffvg is not installed.
    """

    def __init__(
        self, samples: int = 2, seed: int = 0, prefilter: bool = False
    ) -> None:
        super().__init__()
        self.samples, self.seed, self.prefilter = samples, seed, prefilter
        self.diffvg = find_diffvg()

    def draw(
        self, points: Tensor, width: Tensor, rgba: Tensor, size
    ) -> Tensor:
        """Draw checked strokes on a transparent canvas (M, 4, H, W)."""
        images = [
            self.draw_one(*strokes, size)
            for strokes in zip(points, width, rgba)
        ]
        return torch.stack(images)

    def draw_one(
        self, points: Tensor, width: Tensor, rgba: Tensor, size
    ) -> Tensor:
        """Draw strokes (N, S, 4, 2) of one image, (4, H, W)."""
        height, wide = size
        if not len(points):
            return points.new_zeros(4, height, wide)
        black = points.new_zeros(height, wide, 4)
        black[..., 3] = 1
        alpha = self.render(points, width, rgba, size, None)[..., 3:]
        colour = self.render(points, width, rgba, size, black)[..., :3]
        return torch.cat([colour, alpha], dim=2).permute(2, 0, 1)

    def render(self, points, width, rgba, size, background) -> Tensor:
        """Run diffvg once, (H, W, 4)."""
        vg = self.diffvg
        segments = points.shape[1]
        joined = torch.cat(
            [points[:, :1, 0], points[:, :, 1:].flatten(1, 2)], 1
        )
        shapes = [
            vg.Path(
                num_control_points=torch.full(
                    (segments,), 2, dtype=torch.int32
                ),
                points=path.cpu().float(),
                stroke_width=half.cpu().float(),
                is_closed=False,
            )
            for path, half in zip(joined, width)
        ]
        groups = [
            vg.ShapeGroup(
                shape_ids=torch.tensor([k]),
                fill_color=None,
                stroke_color=colour.cpu().float(),
            )
            for k, colour in enumerate(rgba)
        ]
        scene = vg.RenderFunction.serialize_scene(
            size[1], size[0], shapes, groups, use_prefiltering=self.prefilter
        )
        render = vg.RenderFunction.apply
        each = 1 if self.prefilter else self.samples
        image = render(
            size[1], size[0], each, each, self.seed, background, *scene
        )
        return image.to(points)


def find_diffvg():
    """Return the module pydiffvg.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import pydiffvg
    except ImportError as error:
        raise ImportError(
            'DiffVGRasterizer needs pydiffvg, which is on no package index: '
            'build it from https://github.com/BachiLi/diffvg, or take '
            "type='mmclip.AnalyticRasterizer', which needs nothing and is "
            'more exact'
        ) from error
    return pydiffvg
