"""How far a sketch is from its photograph, in the eyes of a CLIP.

B pictures (views of all sketches); every loss is one number a picture, so
that sketches in one batch do not change each other's gradients: take the
mean over the views of a sketch and the sum over the sketches.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from mmclip.clipasso.features import CLIPFeatures
from mmclip.clipasso.scene import SketchLoss
from mmclip.registry import MODELS


def mean_square(sketch: Tensor, target: Tensor) -> Tensor:
    """Return the mean square difference of each picture (B,)."""
    return (sketch - target).square().flatten(1).mean(dim=1)


def mean_absolute(sketch: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of each picture (B,)."""
    return (sketch - target).abs().flatten(1).mean(dim=1)


def cosine_distance(sketch: Tensor, target: Tensor) -> Tensor:
    """Return one minus the cosine of whole layers, picture by picture (B,)."""
    return 1 - F.cosine_similarity(sketch.flatten(1), target.flatten(1))


METRICS = dict(L2=mean_square, L1=mean_absolute, Cos=cosine_distance)


@MODELS.register_module()
class CLIPGeometricLoss(SketchLoss):
    """Compare the layers of a CLIP, which know where things are.

    Source: CLIPasso, eq. 2 and sec. 4.1: L2 of layers 3 and 4 of the five
    [stem, layer1, ..., layer4] of RN101, here ``layer2`` and ``layer3``.

    Args:
        layers: Weight of each layer, by the names of
            :class:`mmclip.clipasso.features.CLIPFeatureExtractor`.
        metric: ``'L2'``, ``'L1'`` or ``'Cos'``.
        loss_weight: Factor on all.
    """

    def __init__(
        self,
        layers: Mapping[str, float] | None = None,
        metric: str = 'L2',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if metric not in METRICS:
            raise ValueError(
                f'metric is {metric!r}, expected one of {", ".join(METRICS)}'
            )
        self.layers = dict(layers or dict(layer2=1.0, layer3=1.0))
        self.metric, self.loss_weight = metric, loss_weight

    def forward(
        self, sketch: CLIPFeatures, target: CLIPFeatures
    ) -> dict[str, Tensor]:
        """Return ``loss_geometric_<layer>``, each (B,).

        Raises:
            KeyError: A layer was not extracted.
        """
        distance = METRICS[self.metric]
        losses = {}
        for name, weight in self.layers.items():
            if name not in sketch.layers:
                raise KeyError(
                    f"the features lack '{name}' (they have "
                    f'{", ".join(sketch.layers) or "none"}): name it in the '
                    "extractor's layers"
                )
            far = distance(sketch.layers[name], target.layers[name])
            losses[f'loss_geometric_{name}'] = self.loss_weight * weight * far
        return losses


@MODELS.register_module()
class CLIPSemanticLoss(SketchLoss):
    """Compare the embeddings, which know what a picture shows.

    Source: CLIPasso, eq. 3; its weight 0.1.

    Args:
        loss_weight: Factor.
    """

    pooled = True

    def __init__(self, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self, sketch: CLIPFeatures, target: CLIPFeatures
    ) -> dict[str, Tensor]:
        """Return ``loss_semantic`` (B,).

        Raises:
            ValueError: The embeddings were not extracted.
        """
        if sketch.pooled is None or target.pooled is None:
            raise ValueError(
                'the features have no embedding: build the extractor with '
                'pooled=True'
            )
        cosine = F.cosine_similarity(sketch.pooled, target.pooled)
        return dict(loss_semantic=self.loss_weight * (1 - cosine))
