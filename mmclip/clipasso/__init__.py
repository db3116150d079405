"""CLIPasso (Vinker et al., SIGGRAPH 2022): sketches of a few strokes.

The paper's figure, left to right: ``preprocess.py`` makes the target,
``saliency.py`` and ``stroke_init.py`` say where strokes start, a rasteriser
(``rasterizer.py``: ``analytic_rasterizer.py``, ``diffvg_rasterizer.py``)
draws them, ``augmentation.py`` shows sketch and target from changed
viewpoints, ``features.py`` looks at both with CLIP and ``losses.py`` compares
them. ``svg.py`` writes and reads sketches.

Beyond the paper: ``foreground_loss.py`` keeps the background out, which
``standing_out.py`` tells from the object (``named_part.py`` by its name),
``nested_loss.py`` and ``ordering.py`` draw stroke by stroke,
``stroke_count.py`` learns how many strokes are needed, ``pyramid.py`` traces
drawings without a CLIP.

``strokes.py`` holds what moves, ``targets.py`` what it is compared with,
``scene.py`` what a loss gets to see,
``sketcher.py`` is the model of all this and ``loop.py`` optimises it, with
``progress.py`` for the best so far. ``dataset.py`` and ``transforms.py`` bring
the photographs.

The analytic rasteriser in turn: ``curves.py`` cuts curves into pieces,
``windows.py`` finds the pixels near them, ``nearest.py`` their nearest
points, ``coverage.py`` how much of a pixel is covered, ``compositing.py`` lays
strokes over each other. ``numba_kernel.py`` is all of it as compiled loops,
called by ``numba_strokes.py``.
"""

from mmclip.clipasso.analytic_rasterizer import AnalyticRasterizer
from mmclip.clipasso.augmentation import PairedAugment
from mmclip.clipasso.diffvg_rasterizer import DiffVGRasterizer
from mmclip.clipasso.features import CLIPFeatureExtractor, CLIPFeatures
from mmclip.clipasso.foreground_loss import ForegroundWeightedLoss
from mmclip.clipasso.losses import CLIPGeometricLoss, CLIPSemanticLoss
from mmclip.clipasso.nested_loss import NestedStrokeLoss
from mmclip.clipasso.pyramid import PixelPyramid
from mmclip.clipasso.scene import Scene, SketchLoss
from mmclip.clipasso.sketcher import CLIPassoSketcher
from mmclip.clipasso.stroke_count import StrokeCountLoss
from mmclip.clipasso.stroke_init import (
    RandomStrokeInit,
    SaliencyStrokeInit,
    SVGStrokeInit,
)
from mmclip.clipasso.svg import Drawing, parse_svg, read_svg, write_svg
from mmclip.clipasso.timm_features import TimmFeatureExtractor

__all__ = [
    'AnalyticRasterizer',
    'CLIPFeatureExtractor',
    'CLIPFeatures',
    'CLIPGeometricLoss',
    'CLIPSemanticLoss',
    'CLIPassoSketcher',
    'DiffVGRasterizer',
    'Drawing',
    'ForegroundWeightedLoss',
    'NestedStrokeLoss',
    'PairedAugment',
    'PixelPyramid',
    'RandomStrokeInit',
    'SVGStrokeInit',
    'SaliencyStrokeInit',
    'Scene',
    'SketchLoss',
    'StrokeCountLoss',
    'TimmFeatureExtractor',
    'parse_svg',
    'read_svg',
    'write_svg',
]
