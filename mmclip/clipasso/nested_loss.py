"""Strokes of which every beginning is a sketch already.

M sketches, N strokes in each.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmclip.clipasso.ordering import order_sketch
from mmclip.clipasso.scene import Scene, SketchLoss
from mmclip.clipasso.strokes import first_strokes
from mmclip.registry import MODELS


@MODELS.register_module()
class NestedStrokeLoss(SketchLoss):
    """Ask the first few strokes to be a sketch too.

    In each step the first k strokes of each sketch are measured by the other
    losses as well, k drawn anew with a probability that falls as 1 / k. The
    sketch is then drawn stroke by stroke, and may end at any of them: an
    answer to CLIPasso's sec. 6, whose strokes have no order.

    Strokes start in an order that means nothing and move little, so at some
    steps they are put into the order in which each adds most
    (:func:`mmclip.clipasso.ordering.greedy_order`).

    Args:
        loss_weight: Of the first strokes, beside 1 of the whole sketch.
        shortest: The least k.
        augmented: Whether they are shown from the step's views; the plain
            view alone costs one more picture a sketch and step.
        arrange_at: After which steps strokes are put in order, each time at
            the cost of N (N + 1) / 2 pictures a sketch, seen without
            gradients.

    Raises:
        ValueError: ``shortest`` is below 1, or strokes are to be put in order
            while :class:`mmclip.clipasso.stroke_count.StrokeCountLoss` counts
            them.
    """

    evaluated = False

    def __init__(
        self,
        loss_weight: float = 1.0,
        shortest: int = 1,
        augmented: bool = False,
        arrange_at: Sequence[int] = (100, 200),
    ) -> None:
        super().__init__()
        if shortest < 1:
            raise ValueError(f'shortest is {shortest}, expected 1 or more')
        self.loss_weight, self.shortest = loss_weight, shortest
        self.augmented, self.arrange_at = augmented, tuple(arrange_at)
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))

    @property
    def settled(self) -> bool:
        """Return whether the order is final."""
        return int(self.steps) >= max(self.arrange_at, default=0)

    def begin(self, sketcher) -> None:
        """Note the other losses."""
        self.others = [loss for loss in sketcher.losses if loss.evaluated]
        counts = any(hasattr(loss, 'gate') for loss in sketcher.losses)
        if counts and self.arrange_at:
            raise ValueError(
                'StrokeCountLoss knows strokes by their place, which '
                'NestedStrokeLoss would change: set arrange_at=() in the '
                'latter'
            )

    def start(self, sketcher) -> None:
        """Count steps from 0."""
        self.steps.zero_()

    @torch.no_grad()
    def after_step(self, sketcher) -> None:
        """Put strokes in order, if it is time."""
        self.steps += 1
        if int(self.steps) in self.arrange_at:
            for sketch in range(sketcher.strokes.count):
                order = order_sketch(sketcher, sketch)
                sketcher.strokes.arrange(sketch, order)

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
