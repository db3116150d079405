"""One iteration as losses see it: sketches, targets, and how CLIP saw both.

B images, M sketches (the seeds of an image in a row), K views of each.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from mmclip.clipasso.augmentation import Views
from mmclip.clipasso.features import CLIPFeatures
from mmclip.clipasso.strokes import Strokes


@dataclass
class Scene:
    """Hold one iteration.

    Attributes:
        strokes: Of the M sketches.
        sketch: The drawn sketches (M, 3, H, W) on white.
        images: The targets (B, 3, H, W) in [0, 1].
        owner: Which image each sketch is of (M,).
        masks: Foreground of the images (B, H, W) in [0, 1], or ``None``.
        views: How the V views beside the plain one look, ``None`` without.
        plain: Whether the plain pictures are the first of the K views.
        sketch_features: Of (K * M) pictures, all M of a view, then the next.
        target_features: Of their targets, in the same order.
        draw_again: Draws other strokes (M, ...) and looks at them through
            the same views: gives a scene that differs in ``strokes``,
            ``sketch`` and ``sketch_features``.
    """

    strokes: Strokes
    sketch: Tensor
    images: Tensor
    owner: Tensor
    masks: Tensor | None
    views: Views | None
    plain: bool
    sketch_features: CLIPFeatures
    target_features: CLIPFeatures
    draw_again: Callable[[Strokes], 'Scene']

    def over_views(self, values: Tensor) -> Tensor:
        """Average values of all pictures (K * M,) over the views, (M,)."""
        return values.unflatten(0, (-1, len(self.owner))).mean(dim=0)

    def plain_view(self, values: Tensor) -> Tensor:
        """Return the values of the plain pictures (M,), the first view's."""
        return values[: len(self.owner)]


class SketchLoss(nn.Module):
    """Measure sketches; the base class of all entries of ``losses``.

    Attributes:
        layers: Names of the layers that it compares.
        pooled: Whether it compares embeddings.
        evaluated: Whether it counts in the loss by which the best sketch is
            chosen; a random loss should not.
    """

    layers: Iterable[str] = ()
    pooled: bool = False
    evaluated: bool = True

    def begin(self, sketcher: nn.Module) -> None:
        """Prepare for new images.

        Args:
            sketcher: The :class:`mmclip.clipasso.sketcher.CLIPassoSketcher`,
                whose ``images``, ``masks`` and ``extractor`` are ready.
        """

    def measure(self, scene: Scene) -> dict[str, Tensor]:
        """Return named losses, each of all pictures (K * M,) or (M,).

        The mean is taken over the views and the sum over the sketches, so
        that sketches in a batch do not change each other's gradients.
        """
        return self(scene.sketch_features, scene.target_features)
