"""How far the sketches of a batch are: the best of each, and when to stop.

M sketches, B images.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmclip.clipasso.strokes import Strokes
from mmclip.clipasso.svg import Drawing


class SketchProgress:
    """Keep the best strokes of M sketches by their evaluated loss.

    Source: the release of CLIPasso, which ends a sketch at the second
    evaluation that differs from the best by no more than ``min_delta``, if no
    new best came between. A sketch that has ended keeps its best, so that it
    does not depend on which others are in the batch.

    Args:
        count: M.
        min_delta: A loss must be lower than the best by more than this.
        patience: Evaluations that close to the best that end a sketch.

    Attributes:
        loss (Tensor): The best of each (M,), infinite before the first.
        iteration (Tensor): When it was (M,), -1 before the first.
        running (Tensor): Which have not ended (M,).
        strokes (Strokes): The best of each, on the CPU.
        history (list): (iteration, losses (M,)) of every evaluation.
    """

    def __init__(
        self, count: int, min_delta: float = 1e-5, patience: int = 2
    ) -> None:
        self.min_delta, self.patience = min_delta, patience
        self.loss = torch.full((count,), torch.inf)
        self.iteration = torch.full((count,), -1)
        self.close = torch.zeros(count, dtype=torch.long)
        self.running = torch.ones(count, dtype=torch.bool)
        self.settled = True
        self.strokes: Strokes | None = None
        self.history: list[tuple[int, Tensor]] = []

    def update(
        self,
        iteration: int,
        losses: Tensor,
        strokes: Strokes,
        settled: bool = True,
    ) -> Tensor:
        """Take in an evaluation.

        Args:
            iteration: How many steps the strokes had made.
            losses: Theirs (M,).
            strokes: As they were evaluated.
            settled: Whether they are of the kind that is wanted in the end.
                What was best before the first that is gets forgotten.

        Returns:
            Which have a new best (M,).
        """
        losses = losses.detach().float().cpu()
        self.history.append((iteration, losses))
        if settled and not self.settled:
            self.loss.fill_(torch.inf)
            self.close.zero_()
        self.settled = settled
        better = self.running & (self.loss - losses > self.min_delta)
        near = self.running & ((losses - self.loss).abs() <= self.min_delta)
        self.close[near] += 1
        self.close[better] = 0
        self.loss[better] = losses[better]
        self.iteration[better] = iteration
        strokes = strokes.copy()
        if self.strokes is None:
            self.strokes = strokes
        for kept, new in zip(self.strokes, strokes):
            kept[better] = new[better]
        if settled:
            self.running &= self.close < self.patience
        return better

    def best_of(self, rows: range) -> int:
        """Return which of some sketches has the lowest loss."""
        return rows[int(self.loss[rows.start : rows.stop].argmin())]

    def state_dict(self) -> dict:
        """Return all that a resumed run needs."""
        return dict(
            loss=self.loss,
            iteration=self.iteration,
            close=self.close,
            running=self.running,
            settled=self.settled,
            strokes=None if self.strokes is None else list(self.strokes),
            history=[[k, losses] for k, losses in self.history],
        )

    def load_state_dict(self, state: dict) -> None:
        """Go on from what :meth:`state_dict` returned."""
        for name in ('loss', 'iteration', 'close', 'running'):
            setattr(self, name, state[name].cpu())
        self.settled = state['settled']
        strokes = state['strokes']
        self.strokes = strokes and Strokes(*(v.cpu() for v in strokes))
        self.history = [(k, losses.cpu()) for k, losses in state['history']]


@dataclass
class SketchRecord:
    """Tell all about the sketch of one image.

    Attributes:
        name: Of the image, fit for a file.
        path: Where the image came from.
        drawing: The best of all seeds.
        seed: Its seed.
        loss: Its evaluated loss.
        iteration: How many steps it had made.
        network: Which network it was optimised for.
        fingerprint: Of that network's weights.
        saliency: Which network said where strokes start.
        losses: For each seed, [iteration, loss] of every evaluation.
        finished: Whether the run came to its end.
    """

    name: str
    path: str
    drawing: Drawing
    seed: int
    loss: float
    iteration: int
    network: str
    fingerprint: str
    saliency: str
    losses: dict[int, list] = field(default_factory=dict)
    finished: bool = True

    def state_dict(self) -> dict:
        """Return it in tensors and plain values."""
        drawing = self.drawing
        return {
            **vars(self),
            'drawing': [drawing.points, drawing.width, drawing.rgba],
            'size': list(drawing.size),
        }

    @classmethod
    def from_state(cls, state: dict) -> 'SketchRecord':
        """Rebuild it."""
        state = dict(state)
        parts = [value.cpu() for value in state.pop('drawing')]
        size = tuple(state.pop('size'))
        return cls(drawing=Drawing(*parts, size), **state)

    def summary(self) -> dict:
        """Return what a JSON beside the picture says."""
        kept = ('name', 'path', 'seed', 'loss', 'iteration', 'network')
        return {
            **{key: getattr(self, key) for key in kept},
            'saliency': self.saliency,
            'strokes': len(self.drawing.points),
            'finished': self.finished,
            'losses': {str(k): v for k, v in self.losses.items()},
        }
