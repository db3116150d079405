"""Sketch what is in front, on paper, though the photograph has a background.

P pictures (K views of M sketches, or of B images), h x w positions of a
layer. ``relevance`` says how much of a place belongs to what is wanted.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.clip.towers import ResNetTower, ViTTower
from mmclip.clipasso.features import CLIPFeatures
from mmclip.clipasso.losses import CLIPSemanticLoss
from mmclip.clipasso.named_part import name_embeddings, nearest_part
from mmclip.clipasso.saliency import (
    activation_maps,
    attention_maps,
    enlarge,
    otsu,
)
from mmclip.clipasso.scene import Scene, SketchLoss
from mmclip.clipasso.standing_out import standing_out
from mmclip.registry import MODELS

SOURCES = ('auto', 'mask', 'border', 'name', 'saliency')
SMALLEST = 1e-6


@MODELS.register_module()
class ForegroundWeightedLoss(SketchLoss):
    """Compare the foreground with the target and the background with paper.

    Where the photograph is relevant the layers of the sketch should be those
    of the photograph; elsewhere those of blank paper. It stands in the place
    of :class:`mmclip.clipasso.losses.CLIPGeometricLoss` and
    :class:`mmclip.clipasso.losses.CLIPSemanticLoss`, whose sum it is where
    everything is relevant and ``background`` is 0. The embedding is compared
    with that of the photograph laid on paper by its relevance.

    CLIPasso (sec. 6) removes the background with another network first.

    Args:
        layers: As in the geometric loss.
        background: Weight of the paper.
        semantic: Weight of the embedding; 0 leaves it out.
        source: Where relevance comes from: ``'mask'`` (soft or hard ones that
            the images bring), ``'border'`` (what stands out from the border
            of the picture, see :mod:`mmclip.clipasso.standing_out`),
            ``'name'`` (likewise, and of several parts the one that CLIP finds
            nearest to the image's class name), ``'saliency'`` (where the
            network looks), or ``'auto'``: masks where there are any, else the
            border.
        grow: How far masks and saliency are grown, as part of the picture's
            side: the outline of an object lies on the border of its mask,
            half of it outside. What is cut out by its colours has it inside.
        sharpness: Of the step from irrelevant to relevant that saliency is
            put through; the step lies at Otsu's threshold.
        text: Settings of the :class:`mmclip.clip.text.CLIPTextEncoder` that
            reads names; by default that of the CLIP that looks.
        loss_weight: Factor on all.

    Raises:
        ValueError: ``source`` is unknown, or masks or names are wanted and
            missing.
    """

    def __init__(
        self,
        layers: Mapping[str, float] | None = None,
        background: float = 4.0,
        semantic: float = 0.1,
        source: str = 'auto',
        grow: float = 0.02,
        sharpness: float = 20.0,
        text: dict | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if source not in SOURCES:
            raise ValueError(
                f'source is {source!r}, expected one of {SOURCES}'
            )
        self.layers = dict(layers or dict(layer2=1.0, layer3=1.0))
        self.background, self.source = background, source
        self.grow, self.sharpness = grow, sharpness
        self.text, self.loss_weight = text, loss_weight
        self.pooled = semantic > 0
        self.semantic = CLIPSemanticLoss(semantic)

    def begin(self, sketcher) -> None:
        """Find what is relevant in new images."""
        self.relevance = self.find_relevance(sketcher)  # (B, 1, H, W)
        on_paper = self.relevance * sketcher.images + (1 - self.relevance)
        self.on_paper = on_paper  # (B, 3, H, W)
        self.seen_paper, self.seen_on_paper = {}, {}

    def find_relevance(self, sketcher) -> Tensor:
        """Return relevance (B, 1, H, W) in [0, 1], whose maximum is 1."""
        masks = self.find_masks(sketcher)
        most = masks.flatten(1).amax(dim=1)[:, None, None]
        masks = torch.where(most > 0, masks / most.clamp(min=SMALLEST), 1)
        masks = masks[:, None].to(sketcher.images)
        outlined = self.finds_outlines(sketcher)
        reach = 0 if outlined else round(self.grow * masks.shape[2])
        return F.max_pool2d(masks, 2 * reach + 1, stride=1, padding=reach)

    def finds_outlines(self, sketcher) -> bool:
        """Tell whether objects are cut out here."""
        found = self.source == 'auto' and sketcher.masks is None
        return found or self.source in ('border', 'name')

    def find_masks(self, sketcher) -> Tensor:
        """Return masks (B, H, W) by the source; 0 everywhere means all."""
        if self.source in ('auto', 'mask') and sketcher.masks is not None:
            return sketcher.masks
        if self.source == 'mask':
            raise ValueError(
                "source='mask', but an image has none: give the dataset "
                "masks, or take source='border'"
            )
        if self.source == 'saliency':
            encoder = sketcher.saliency or sketcher.extractor.encoder
            return soft_foreground(encoder, sketcher.images, self.sharpness)
        choose = self.by_name(sketcher) if self.source == 'name' else None
        return standing_out(
            sketcher.images, sketcher.extractor.look_at_target, choose=choose
        )

    def by_name(self, sketcher):
        """Return what chooses the part that an image's class name means.

        Raises:
            ValueError: An image has no class name, or the network no words.
        """
        names = [sample.get('class_name') for sample in sketcher.samples]
        if not all(names):
            raise ValueError(
                "source='name', but an image has none: give the dataset "
                "class_names, or take source='border'"
            )
        text = self.text or getattr(sketcher.extractor, 'text', None)
        encoder = sketcher.extractor.encoder
        if text is None or not hasattr(encoder, 'pooled'):
            raise ValueError(
                f"source='name', but {sketcher.extractor.name} reads no "
                "words: look through a CLIP, or take source='border'"
            )
        wanted = name_embeddings(names, text)
        return lambda k, parts: nearest_part(
            encoder, sketcher.images[k], parts, wanted[k]
        )

    def weigh_starts(self, maps: list) -> list:
        """Let strokes start where it is relevant, if they may at all there.

        A stroke that starts in the background has no way to the object: it
        would shrink to a dot where it is.
        """
        return [
            share if share is None else keep_relevant(share, relevance)
            for share, relevance in zip(maps, self.relevance[:, 0])
        ]

    def measure(self, scene: Scene) -> dict[str, Tensor]:
        """Return ``loss_foreground_<layer>``, ``loss_paper_<layer>``, (P,)."""
        views = len(scene.sketch_features) // len(scene.owner)
        rows = self.rows(scene, views)
        relevance = shown_relevance(self.relevance, scene)[rows]
        paper = None
        if self.background:
            paper = scene.see(torch.ones_like(self.on_paper), self.seen_paper)
            paper = paper.rows(rows)
        losses = self(
            scene.sketch_features, scene.target_features, relevance, paper
        )
        if self.pooled:
            wanted = scene.see(self.on_paper, self.seen_on_paper).rows(rows)
            found = self.semantic(scene.sketch_features, wanted)
            losses |= {k: self.loss_weight * v for k, v in found.items()}
        return losses

    def rows(self, scene: Scene, views: int) -> Tensor:
        """Return which of K * B targets the K * M pictures have."""
        first = torch.arange(views, device=scene.owner.device)
        return (first[:, None] * len(scene.images) + scene.owner).flatten()

    def forward(
        self,
        sketch: CLIPFeatures,
        target: CLIPFeatures,
        relevance: Tensor,
        paper: CLIPFeatures | None = None,
    ) -> dict[str, Tensor]:
        """Compare layers.

        Args:
            sketch: Of P pictures.
            target: Likewise.
            relevance: (P, 1, H, W) in [0, 1].
            paper: What blank paper looks like, P times.
        """
        losses = {}
        for name, weight in self.layers.items():
            weight = self.loss_weight * weight
            seen = sketch.layers[name]
            where = at_positions(relevance, seen)
            far = weighted_square(seen, target.layers[name], where)
            losses[f'loss_foreground_{name}'] = weight * far
            if paper is not None:
                far = weighted_square(seen, paper.layers[name], 1 - where)
                losses[f'loss_paper_{name}'] = weight * self.background * far
        return losses


def shown_relevance(relevance: Tensor, scene: Scene) -> Tensor:
    """Show relevance (B, 1, H, W) as the pictures are, (K * B, 1, ...).

    What a view shows beyond the picture is the same in sketch and target; it
    counts as relevant, as it does in CLIPasso's loss.
    """
    both = torch.cat([relevance, torch.ones_like(relevance)], dim=1)
    inside, picture = scene.show(both).split(1, dim=1)
    return (1 + inside - picture).clamp(0, 1)


def at_positions(relevance: Tensor, layer: Tensor) -> Tensor:
    """Average relevance (P, 1, H, W) at the positions of a layer, (P, L).

    The class token of a ViT is wholly relevant.

    Args:
        relevance: In [0, 1].
        layer: Maps (P, C, h, w), L = h * w, or tokens (P, L, C).
    """
    if layer.dim() == 4:
        return F.adaptive_avg_pool2d(relevance, layer.shape[2:]).flatten(1)
    side = round((layer.shape[1] - 1) ** 0.5)
    grid = F.adaptive_avg_pool2d(relevance, side).flatten(1)
    return torch.cat([torch.ones_like(grid[:, :1]), grid], dim=1)


def weighted_square(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Return the mean square difference of layers over weighted positions.

    Args:
        a: Maps (P, C, h, w) or tokens (P, L, C).
        b: Likewise.
        weight: Of each position (P, L).

    Returns:
        (P,), 0 where no position has a weight.
    """
    square = (a - b).square()
    each = (
        square.mean(dim=1).flatten(1) if a.dim() == 4 else square.mean(dim=2)
    )
    return (weight * each).sum(dim=1) / weight.sum(dim=1).clamp(min=SMALLEST)


def keep_relevant(share: np.ndarray, relevance: Tensor) -> np.ndarray:
    """Set probabilities (H, W) to 0 where relevance is below one half."""
    kept = np.where(relevance.cpu().numpy() > 0.5, share, 0)
    return kept / kept.sum() if kept.sum() > 0 else share


@torch.no_grad()
def soft_foreground(encoder, images: Tensor, sharpness: float) -> Tensor:
    """Return where a network looks as a soft mask (B, H, W).

    Args:
        encoder: A :class:`mmclip.clip.image.CLIPImageEncoder`.
        images: RGB in [0, 1] (B, 3, H, W).
        sharpness: See :class:`ForegroundWeightedLoss`.
    """
    attends = isinstance(
        getattr(encoder, 'tower', None), (ViTTower, ResNetTower)
    )
    maps = (attention_maps if attends else activation_maps)(encoder, images)
    large = enlarge(maps, images.shape[2:])
    steps = [otsu(each.cpu().double().numpy()) for each in large]
    step = large.new_tensor(steps)[:, None, None]
    return torch.sigmoid(sharpness * (large - step))
