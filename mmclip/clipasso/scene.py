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
        draw_again: Draws other strokes (M, ...) and looks at them, through
            the same views or, with ``plain=True``, as they are: gives the
            scene of them.
        see: Looks at other pictures (B, 3, H, W) as at the targets, without a
            graph: gives features of (K * B). A dict as second argument keeps
            what was seen of views that come again.
        show: Shows pictures (B, C, H, W) as CLIP is shown them, (K * B, C,
            ...).
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
    draw_again: Callable[..., 'Scene']
    see: Callable[..., CLIPFeatures]
    show: Callable[[Tensor], Tensor]

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
        settled: Whether sketches are what they will be but for further
            steps. While a loss says no, none ends early, and what was best
            before is forgotten once all say yes.
    """

    layers: Iterable[str] = ()
    pooled: bool = False
    evaluated: bool = True
    settled: bool = True

    def reserve(self, capacity: int, num_strokes: int) -> None:
        """Make room for so many sketches, before an optimiser is built."""

    def begin(self, sketcher: nn.Module) -> None:
        """Prepare for new images.

        Args:
            sketcher: The :class:`mmclip.clipasso.sketcher.CLIPassoSketcher`,
                whose ``images``, ``masks`` and ``extractor`` are ready.
        """

    def weigh_starts(self, maps: list) -> list:
        """Change where strokes may start, (H, W) of each image."""
        return maps

    def start(self, sketcher: nn.Module) -> None:
        """Set what it learns to its first values, behind :meth:`begin`.

        It is not called where a checkpoint brought those values.
        """

    def prepare(self, strokes: Strokes) -> Strokes:
        """Change the strokes of a training step before they are drawn."""
        return strokes

    def after_step(self, sketcher: nn.Module) -> None:
        """Take note that the strokes have been moved once."""

    def measure(self, scene: Scene) -> dict[str, Tensor]:
        """Return named losses, each of all pictures (K * M,) or (M,).

        The mean is taken over the views and the sum over the sketches, so
        that sketches in a batch do not change each other's gradients.
        """
        return self(scene.sketch_features, scene.target_features)
