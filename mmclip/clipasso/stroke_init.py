"""Where the strokes of a sketch start.

N strokes, S segments of a stroke, H x W pixels.

Convention: points are (x, y) in canvas pixels; the pixel of row i and column
j starts a stroke at (j, i), as in the release.
"""

import random

import numpy as np
import torch
from torch import Tensor

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clipasso.curves import pad_segments
from mmclip.clipasso.saliency import (
    activation_maps,
    attention_maps,
    enlarge,
    luminance,
    unit_range,
    xdog,
)
from mmclip.clipasso.svg import Drawing, read_svg
from mmclip.registry import TASK_UTILS

SPREAD = 0.05  # of the canvas; the range of a step between control points


@TASK_UTILS.register_module()
class SaliencyStrokeInit:
    """Start strokes where CLIP looks and the picture has edges.

    Source: CLIPasso, sec. 4.2.

    Args:
        reduce: ``'mean_blocks'`` (the release) or ``'last'`` (the paper).
        use_xdog: Whether starts keep to edges.
        temperature: Of the softmax over the map.
        num_segments: S.
        source: ``'attention'``, or ``'activation'`` for towers of timm, whose
            attention cannot be read.
    """

    def __init__(
        self,
        reduce: str = 'mean_blocks',
        use_xdog: bool = True,
        temperature: float = 0.3,
        num_segments: int = 1,
        source: str = 'attention',
    ) -> None:
        if source not in ('attention', 'activation'):
            raise ValueError(
                f"source is {source!r}, expected 'attention' or 'activation'"
            )
        if not temperature > 0:
            raise ValueError(f'temperature is {temperature}, expected above 0')
        self.source = source
        self.reduce, self.use_xdog = reduce, use_xdog
        self.temperature, self.num_segments = temperature, num_segments

    def probabilities(
        self, encoder: CLIPImageEncoder, image: Tensor
    ) -> np.ndarray:
        """Return where strokes start, float64 (H, W) that sums to 1.

        Args:
            encoder: The CLIP that looks.
            image: RGB in [0, 1] (3, H, W).
        """
        if self.source == 'activation':
            maps = activation_maps(encoder, image[None])
        else:
            maps = attention_maps(encoder, image[None], self.reduce)
        attention = enlarge(maps, image.shape[1:])[0].cpu().numpy()
        edges = None
        if self.use_xdog:
            # the release looks for edges in the normalised picture
            shown = encoder.normalise(image[None])[0].permute(1, 2, 0)
            edges = xdog(luminance(shown.cpu().numpy()))
        return start_probabilities(attention, edges, self.temperature)

    def __call__(
        self,
        encoder: CLIPImageEncoder,
        image: Tensor,
        num_strokes: int,
        seed: int = 0,
    ) -> Tensor:
        """Return control points (N, S, 4, 2) of strokes a few pixels long."""
        share = self.probabilities(encoder, image)
        return self.place(share, num_strokes, seed)

    def place(self, share: np.ndarray, num_strokes: int, seed: int) -> Tensor:
        """Start strokes by the probabilities (H, W), (N, S, 4, 2)."""
        starts = draw_starts(share, num_strokes, seed)
        return spread_points(starts, share.shape, self.num_segments, seed)


def start_probabilities(
    attention: np.ndarray,
    edges: np.ndarray | None = None,
    temperature: float = 0.3,
) -> np.ndarray:
    """Turn a saliency map into probabilities.

    Where nothing is salient (a uniform map, or no edge at all) every pixel is
    as probable as another.

    Args:
        attention: Map (H, W).
        edges: XDoG (H, W), 0 on edges.
        temperature: Of the softmax over the positive values.

    Returns:
        float64 (H, W).
    """
    salient = unit_range(np.asarray(attention))
    if edges is not None:
        salient = salient * (1 - edges)
    used = salient > 0
    if not used.any():
        return np.full(salient.shape, 1 / salient.size)
    logits = salient[used].astype(np.float64) / temperature
    weights = np.exp(logits - logits.max())
    share = np.zeros(salient.shape)
    share[used] = weights / weights.sum()
    return share


def draw_starts(share: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw (row, column) of pixels, int64 (count, 2), each at most once.

    The generator is numpy's legacy one, so that a seed gives the release's
    pixels. Where fewer pixels are probable than asked for, they are drawn
    again.
    """
    enough = np.count_nonzero(share) >= count
    drawn = np.random.RandomState(seed).choice(
        share.size, size=count, replace=not enough, p=share.flatten()
    )
    return np.stack(np.unravel_index(drawn, share.shape), axis=1)


def spread_points(
    starts: np.ndarray, size: tuple[int, int], num_segments: int, seed: int
) -> Tensor:
    """Set control points around their stroke's start, in small steps.

    Args:
        starts: (row, column) of each stroke (N, 2).
        size: (H, W).
        num_segments: S.
        seed: Of Python's generator, as in the release.

    Returns:
        float32 (N, S, 4, 2).
    """
    height, width = size
    draw = random.Random(seed).random
    strokes = []
    for row, column in starts:
        x, y = column / width, row / height
        path = [(x, y)]
        for _ in range(3 * num_segments):
            x, y = (v + SPREAD * (draw() - 0.5) for v in (x, y))
            path.append((x, y))
        strokes.append([path[3 * s : 3 * s + 4] for s in range(num_segments)])
    points = torch.tensor(strokes, dtype=torch.float64)
    points = points.reshape(-1, num_segments, 4, 2)
    return (points * torch.tensor([width, height])).float()


@TASK_UTILS.register_module()
class RandomStrokeInit(SaliencyStrokeInit):
    """Start strokes anywhere, with no network asked.

    Args:
        num_segments: S.
        on_ink: Whether a pixel is as probable as it is dark, for line
            drawings.
    """

    def __init__(self, num_segments: int = 1, on_ink: bool = False) -> None:
        super().__init__(num_segments=num_segments)
        self.on_ink = on_ink

    def probabilities(self, encoder, image: Tensor) -> np.ndarray:
        """Return the probability of each pixel, float64 (H, W)."""
        share = np.ones(image.shape[1:])
        if self.on_ink:
            ink = 1 - image.mean(dim=0).cpu().numpy().astype(np.float64)
            share = ink if ink.sum() > 0 else share
        return share / share.sum()


@TASK_UTILS.register_module()
class SVGStrokeInit(SaliencyStrokeInit):
    """Start from the strokes of an SVG, perhaps with new ones on top.

    Those beyond the SVG's start by saliency.

    Args:
        svg: The file; it is scaled to the canvas.
        freeze: Whether the SVG's strokes stay as they are.
        **kwargs: As of :class:`SaliencyStrokeInit`.

    Raises:
        ValueError: The SVG has more strokes or segments than the sketch, or
            another shape than the canvas.
    """

    def __init__(self, svg: str, freeze: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.svg, self.freeze = svg, freeze
        self.frozen = None

    def place(self, share: np.ndarray, num_strokes: int, seed: int) -> Drawing:
        """Return the SVG's strokes and new ones behind them."""
        given = self.read(share.shape)
        count, segments = given.points.shape[:2]
        if count > num_strokes or segments > self.num_segments:
            raise ValueError(
                f"'{self.svg}' has {count} strokes of up to {segments} "
                f'segments, the sketch {num_strokes} of {self.num_segments}: '
                'raise num_strokes and num_segments'
            )
        self.frozen = (torch.arange(num_strokes) < count) & self.freeze
        new = super().place(share, num_strokes - count, seed)
        half = given.width.mean() if count else torch.tensor(1.5)
        black = torch.tensor([0.0, 0.0, 0.0, 1.0])
        points = pad_segments([*given.points, *new])
        return Drawing(
            pad_to(points, self.num_segments),
            torch.cat([given.width, half.expand(len(new))]),
            torch.cat([given.rgba, black.expand(len(new), 4)]),
            share.shape,
        )

    def read(self, size: tuple[int, int]) -> Drawing:
        """Read the SVG, scaled to a canvas (H, W)."""
        drawing = read_svg(self.svg)
        zooms = [want / have for want, have in zip(size, drawing.size)]
        if abs(zooms[0] - zooms[1]) > 0.01 * zooms[0]:
            raise ValueError(
                f"'{self.svg}' is {drawing.size[0]} x {drawing.size[1]}, "
                f'which does not scale to {size[0]} x {size[1]}'
            )
        return Drawing(
            drawing.points * zooms[0],
            drawing.width * zooms[0],
            drawing.rgba,
            size,
        )


def pad_to(points: Tensor, segments: int) -> Tensor:
    """Lengthen strokes (N, S, 4, 2) by dots at their ends to more segments."""
    lacking = segments - points.shape[1]
    if lacking <= 0:
        return points
    end = points[:, -1:, 3:].expand(-1, lacking, 4, -1)
    return torch.cat([points, end], dim=1)
