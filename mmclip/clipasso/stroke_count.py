"""Learn how many strokes a sketch needs.

M sketches, N strokes in each. A stroke's gate z in [0, 1] multiplies its
opacity; z is drawn from a hard-concrete distribution, which is 0 or 1 with a
probability of its own, so that the expected number of strokes has a gradient.

Source: Louizos et al., Learning Sparse Neural Networks through L0
Regularization, ICLR 2018, eq. 10 to 12 and 26, with its constants.
"""

import math

import torch
from torch import Tensor, nn

from mmclip.clipasso.scene import Scene, SketchLoss
from mmclip.clipasso.strokes import Strokes, keep_strokes
from mmclip.registry import MODELS

BETA, LOW, HIGH = 2 / 3, -0.1, 1.1  # temperature and stretch of the gates


def hard_concrete(logit: Tensor, noise: Tensor | None = None) -> Tensor:
    """Return gates in [0, 1].

    Args:
        logit: log alpha, of any shape.
        noise: Uniform in (0, 1), of the same shape; ``None`` gives the gates
            without chance.
    """
    if noise is None:
        soft = torch.sigmoid(logit)
    else:
        soft = torch.sigmoid((noise.logit() + logit) / BETA)
    return (soft * (HIGH - LOW) + LOW).clamp(0, 1)


def open_probability(logit: Tensor) -> Tensor:
    """Return the probability that a gate is not 0."""
    return torch.sigmoid(logit - BETA * math.log(-LOW / HIGH))


@MODELS.register_module()
class StrokeCountLoss(SketchLoss):
    """Leave out strokes until a sketch is only just as good as is asked for.

    The fewest strokes are sought whose loss stays below a bound between that
    of all N strokes and that of the empty canvas:

        bound = L_all + abstraction * (L_empty - L_all).

    So each image gets a number of its own. At first gates close only where a
    stroke does harm (``warmup`` steps, whose end says what all strokes can
    do); then strokes have a price, which rises while the bound is kept and
    falls while it is not (``gating`` steps); then strokes with a closed gate
    go and the others, opaque again, are optimised further until the loop
    ends.

    Args:
        abstraction: From 0 (as good as all strokes) to 1 (anything goes).
        warmup: Steps without a price.
        gating: Steps with one.
        price: Of all N strokes at the first gated step, in units of L_empty -
            L_all.
        eta: How quickly the price follows.
        rate: How far a step of size 1 moves a gate's log alpha.

    Raises:
        ValueError: A number is out of its range.
    """

    evaluated = False

    def __init__(
        self,
        abstraction: float = 0.05,
        warmup: int = 150,
        gating: int = 400,
        price: float = 3.0,
        eta: float = 0.04,
        rate: float = 0.05,
    ) -> None:
        super().__init__()
        if not 0 <= abstraction < 1:
            raise ValueError(
                f'abstraction is {abstraction}, expected 0 to below 1'
            )
        for name, value in (('warmup', warmup), ('gating', gating)):
            if int(value) != value or value < 1:
                raise ValueError(
                    f'{name} is {value}, expected a whole number from 1'
                )
        self.abstraction, self.warmup, self.gating = (
            abstraction,
            warmup,
            gating,
        )
        self.first_price, self.eta, self.rate = price, eta, rate
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        self.reserve(1, 1)

    def reserve(self, capacity: int, num_strokes: int) -> None:
        """Make room for the gates of so many sketches."""
        self.gate = nn.Parameter(torch.zeros(capacity, num_strokes))
        for name in ('price', 'bound', 'span'):
            self.register_buffer(name, torch.zeros(capacity))

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        saved = state_dict.get(f'{prefix}gate')
        if saved is not None and saved.shape != self.gate.shape:
            self.reserve(*saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def phase(self) -> str:
        """Return ``'warmup'``, ``'gating'`` or ``'settled'``."""
        if self.steps < self.warmup:
            return 'warmup'
        return (
            'gating' if self.steps < self.warmup + self.gating else 'settled'
        )

    @property
    def settled(self) -> bool:
        """Return whether the strokes that stay are chosen."""
        return self.phase == 'settled'

    @torch.no_grad()
    def start(self, sketcher) -> None:
        """Open all gates; measure the empty canvas."""
        strokes = sketcher.strokes()
        self.count = len(strokes.width)
        self.steps.zero_()
        self.gate.fill_(2 / self.rate)
        nothing = torch.zeros_like(strokes.width, dtype=torch.bool)
        empty = sketcher.evaluate(keep_strokes(strokes, nothing))
        self.bound[: self.count] = empty

    def logits(self, count: int) -> Tensor:
        """Return log alpha of the sketches at work (M, N)."""
        return self.rate * self.gate[:count]

    def prepare(self, strokes: Strokes) -> Strokes:
        """Let the strokes through gates that are drawn anew."""
        if self.settled:
            return strokes
        logits = self.logits(len(strokes.width))
        noise = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
        opacity = strokes.rgba[..., 3] * hard_concrete(logits, noise)
        rgba = torch.cat([strokes.rgba[..., :3], opacity[..., None]], dim=2)
        return strokes._replace(rgba=rgba)

    def measure(self, scene: Scene) -> dict[str, Tensor]:
        """Return ``loss_count`` (M,), what the expected strokes cost."""
        count = len(scene.owner)
        if self.phase != 'gating':
            return dict(loss_count=scene.strokes.width.new_zeros(count))
        share = open_probability(self.logits(count)).mean(dim=1)
        return dict(loss_count=self.price[:count] * self.span[:count] * share)

    @torch.no_grad()
    def after_step(self, sketcher) -> None:
        """Follow the bound with the price; choose strokes in the end."""
        self.steps += 1
        count = sketcher.strokes.count
        if self.steps == self.warmup:
            whole = sketcher.evaluate(
                keep_strokes(sketcher.strokes(), self.chosen(count))
            )
            empty = self.bound[:count].clone()
            self.span[:count] = (empty - whole).clamp(min=1e-6)
            self.bound[:count] = whole + self.abstraction * (empty - whole)
            self.price[:count] = self.first_price
        elif self.phase == 'gating':
            self.follow(sketcher, count)
        elif self.steps == self.warmup + self.gating:
            self.choose(sketcher, count)

    def follow(self, sketcher, count: int) -> None:
        """Raise the price where the bound is kept, else lower it."""
        seen = sketcher.evaluated
        if seen is None:
            seen = sketcher.evaluate()
        room = (self.bound[:count] - seen) / self.span[:count]
        factor = (self.eta * room.clamp(-1, 1)).exp()
        self.price[:count] = (self.price[:count] * factor).clamp(1e-4, 1e2)

    def choose(self, sketcher, count: int) -> None:
        """Drop the strokes whose gates are closed; keep one at least."""
        sketcher.strokes.drop(~self.chosen(count))

    def chosen(self, count: int) -> Tensor:
        """Return which strokes have open gates, one at least; (M, N)."""
        logits = self.logits(count)
        kept = logits > 0
        kept[torch.arange(count), logits.argmax(dim=1)] = True
        return kept
