"""Strokes of which every beginning is a sketch already.

M sketches, N strokes in each.
"""

import torch
from torch import Tensor

from mmclip.clipasso.scene import Scene, SketchLoss
from mmclip.clipasso.strokes import Strokes
from mmclip.registry import MODELS


def first_strokes(strokes: Strokes, count: Tensor) -> Strokes:
    """Hide all strokes but the first ones.

    Args:
        strokes: Of M sketches.
        count: How many of each are left (M,).
    """
    number = torch.arange(strokes.width.shape[1], device=count.device)
    return keep_strokes(strokes, number < count[:, None])


def keep_strokes(strokes: Strokes, kept: Tensor) -> Strokes:
    """Hide strokes by making them transparent; ``kept`` is bool (M, N)."""
    rgba = strokes.rgba
    opacity = torch.where(kept, rgba[..., 3], 0)
    rgba = torch.cat([rgba[..., :3], opacity[..., None]], dim=2)
    return strokes._replace(rgba=rgba)


@MODELS.register_module()
class NestedStrokeLoss(SketchLoss):
    """Ask the first few strokes to be a sketch too.

    In each step the first k strokes of each sketch are measured by the other
    losses as well, k drawn anew with a probability that falls as 1 / k. The
    sketch is then drawn stroke by stroke, and may end at any of them: an
    answer to CLIPasso's sec. 6, whose strokes have no order.

    Args:
        loss_weight: Of the first strokes, beside 1 of the whole sketch.
        shortest: The least k.
        augmented: Whether they are shown from the step's views; the plain
            view alone costs one more picture a sketch and step.
    """

    evaluated = False

    def __init__(
        self,
        loss_weight: float = 1.0,
        shortest: int = 1,
        augmented: bool = False,
    ) -> None:
        super().__init__()
        if shortest < 1:
            raise ValueError(f'shortest is {shortest}, expected 1 or more')
        self.loss_weight, self.shortest = loss_weight, shortest
        self.augmented = augmented

    def begin(self, sketcher) -> None:
        """Note the other losses."""
        self.others = [loss for loss in sketcher.losses if loss.evaluated]

    def draw_counts(self, sketches: int, strokes: int) -> Tensor:
        """Draw k of each sketch (M,), from ``shortest`` to N - 1."""
        counts = torch.arange(self.shortest, max(strokes, self.shortest + 1))
        some = torch.multinomial(1 / counts, sketches, replacement=True)
        return counts[some]

    def measure(self, scene: Scene) -> dict[str, Tensor]:
        """Return ``loss_nested`` (M,)."""
        count = self.draw_counts(*scene.strokes.width.shape)
        shown = first_strokes(
            scene.strokes, count.to(scene.strokes.width.device)
        )
        scene = scene.draw_again(shown, plain=not self.augmented)
        total = 0
        for loss in self.others:
            for values in loss.measure(scene).values():
                total = total + scene.over_views(values)
        return dict(loss_nested=self.loss_weight * total)
