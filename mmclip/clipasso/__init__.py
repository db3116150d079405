"""CLIPasso (Vinker et al., SIGGRAPH 2022): sketches of a few strokes.

The paper's figure, left to right: ``preprocess.py`` makes the target,
``saliency.py`` and ``stroke_init.py`` say where strokes start, a rasteriser
(``rasterizer.py``: ``analytic_rasterizer.py``, ``diffvg_rasterizer.py``)
draws them, ``augmentation.py`` shows sketch and target from changed
viewpoints, ``features.py`` looks at both with CLIP and ``losses.py`` compares
them. ``svg.py`` writes and reads sketches.

The analytic rasteriser in turn: ``curves.py`` cuts curves into pieces,
``windows.py`` finds the pixels near them, ``nearest.py`` their nearest
points, ``coverage.py`` how much of a pixel is covered, ``compositing.py`` lays
strokes over each other.
"""

from mmclip.clipasso.analytic_rasterizer import AnalyticRasterizer
from mmclip.clipasso.augmentation import PairedAugment
from mmclip.clipasso.diffvg_rasterizer import DiffVGRasterizer
from mmclip.clipasso.features import CLIPFeatureExtractor, CLIPFeatures
from mmclip.clipasso.losses import CLIPGeometricLoss, CLIPSemanticLoss
from mmclip.clipasso.stroke_init import SaliencyStrokeInit
from mmclip.clipasso.svg import Drawing, parse_svg, read_svg, write_svg

__all__ = [
    'AnalyticRasterizer',
    'CLIPFeatureExtractor',
    'CLIPFeatures',
    'CLIPGeometricLoss',
    'CLIPSemanticLoss',
    'DiffVGRasterizer',
    'Drawing',
    'PairedAugment',
    'SaliencyStrokeInit',
    'parse_svg',
    'read_svg',
    'write_svg',
]
