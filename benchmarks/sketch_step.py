"""Time an iteration of CLIPasso as it was released and as it is here.

The released way is restated from what is known of it: all weights of CLIP
take part in the graph and gather gradients, the target is seen anew with a
graph in each step (five pictures of sketch and target each, two samplings for
a view), and every tenth step the plain pair is seen once more. It draws with
our rasteriser, as pydiffvg is on no package index; with its own it is slower
still. Beside it: the same mathematics here, and the quick way (bfloat16 and a
bank of views whose targets are kept). All take turns; weights are random,
times do not depend on them.

A second table sketches drawn pictures with shapes-clip from the same starts in
the three ways, and compares what their plain losses come to.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import BaseDataElement
from rich.console import Console
from rich.progress import track
from torch import Tensor

# started as a script, Python looks beside this file, not above it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmclip.clipasso import (  # noqa: E402
    CLIPassoSketcher,
    CLIPFeatureExtractor,
    CLIPGeometricLoss,
    CLIPSemanticLoss,
    PairedAugment,
)
from mmclip.data.shapes import draw_portrait  # noqa: E402

WANTED = dict(same=2.5, quick=5.0)  # times the released way
SMALL = 'shapes-clip'  # a CLIP with weights whose sketches take seconds
EVERY = 10  # steps between evaluations


def picture(size: int, number: int = 0) -> Tensor:
    """Return a drawn picture, uint8 (3, H, W)."""
    image = draw_portrait((3, number), 64).image
    image = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    large = torch.nn.functional.interpolate(image[None].float(), size)
    return large[0].byte()


def sketcher(clip, size: int, quick: bool, views: int = 4, seed: int = 0):
    """Return our model of one sketch of 16 strokes."""
    mode = dict(mode='bank') if quick else dict(fused=False)
    torch.manual_seed(0)  # the weights
    model = CLIPassoSketcher(
        clip=dict(model=clip, dtype='bfloat16' if quick else 'float32'),
        augment=dict(
            type='mmclip.PairedAugment', num_views=views, size=size, **mode
        ),
        stroke_init=dict(type='mmclip.RandomStrokeInit', on_ink=True),
        num_seeds=1,
        seed=seed,
    )
    model.train()
    return model


class Ours:
    """Our model with its optimiser."""

    def __init__(self, clip, image: Tensor, quick: bool, seed: int = 0):
        self.model = sketcher(clip, image.shape[1], quick, seed=seed)
        self.data = dict(inputs=[image], data_samples=[BaseDataElement()])
        self.model.begin(self.data)
        points = [self.model.strokes.points]
        self.wrapper = OptimWrapper(torch.optim.Adam(points, lr=1.0))

    def step(self, number: int) -> None:
        """Move the strokes once; the evaluation is part of it."""
        self.model.train_step(self.data, self.wrapper)

    def fill(self) -> None:
        """See the target in all views of the bank."""
        augment, size = self.model.augment, self.model.size
        augment.draw(*size)
        for k in range(0, augment.bank_size, 4):
            self.model.targets.features(augment.banks[size][k : k + 4])

    def loss(self) -> float:
        """Return the plain loss."""
        return float(self.model.evaluate())


class Released:
    """The released way, from the strokes at which ours starts."""

    def __init__(self, clip, image: Tensor, seed: int = 0):
        start = sketcher(clip, image.shape[1], quick=False, seed=seed)
        start.begin(dict(inputs=[image], data_samples=[BaseDataElement()]))
        self.draw, self.strokes = start.draw, start.strokes
        self.target = start.images
        torch.manual_seed(0)
        self.look = CLIPFeatureExtractor(clip, fold=False)
        self.look.encoder.requires_grad_(True)
        self.augment = PairedAugment(size=image.shape[1], fused=False)
        self.losses = CLIPGeometricLoss(), CLIPSemanticLoss()
        self.adam = torch.optim.Adam([self.strokes.points], lr=1.0)

    def compare(self, sketch: Tensor, target: Tensor) -> Tensor:
        """See both in one batch and sum the losses."""
        seen = self.look(torch.cat([sketch, target]))
        half = slice(len(sketch)), slice(len(sketch), None)
        pair = [seen.rows(rows) for rows in half]
        parts = [loss(*pair) for loss in self.losses]
        return sum(v.mean() for part in parts for v in part.values())

    def step(self, number: int) -> None:
        """Move the strokes once; evaluate every tenth time."""
        shown = self.augment(self.draw(self.strokes()), self.target)
        self.adam.zero_grad()
        self.compare(*shown).backward()
        self.adam.step()
        if number % EVERY == 0:
            self.loss()

    @torch.no_grad()
    def loss(self) -> float:
        """Return the plain loss."""
        return float(self.compare(self.draw(self.strokes()), self.target))


def seconds(work, *arguments) -> float:
    """Return the CPU seconds of a call."""
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


def measure(clip: str, size: int, repeats: int) -> dict[str, list[float]]:
    """Time the three ways step by step, in turns."""
    image = picture(size)
    sides = dict(
        released=Released(clip, image),
        same=Ours(clip, image, quick=False),
        quick=Ours(clip, image, quick=True),
    )
    times = {name: [] for name in sides}
    for side in sides.values():
        side.step(1)  # warm up
    times['fill'] = [seconds(sides['quick'].fill)]
    times['evaluation'] = [seconds(sides['released'].loss)]
    console = Console(stderr=True)
    for _ in track(range(repeats), 'steps', console=console):
        for name, side in sides.items():
            times[name].append(seconds(side.step, 1))
    return times


def report(times: dict[str, list[float]], clip: str) -> None:
    """Print seconds a step and ratios."""
    extra = times['evaluation'][0] / EVERY
    released = [t + extra for t in times['released']]
    print(
        f'{clip}, one sketch, five pictures a step, {len(released)} steps, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}, '
        'CPU seconds'
    )
    print(f'released way      {median(released):6.2f} (our rasteriser)')
    for name, text in (
        ('same', 'same mathematics'),
        ('quick', 'bfloat16 and bank'),
    ):
        ratio = median(a / b for a, b in zip(released, times[name]))
        print(
            f'{text:17} {median(times[name]):6.2f}, {ratio:.1f} times faster '
            f'(wanted: {WANTED[name]})'
        )
    print(f'the bank is filled once an image: {times["fill"][0]:.1f} s')


def final_losses(runs: int, iters: int) -> dict[str, list[float]]:
    """Sketch with a small CLIP in the three ways from the same starts.

    All are judged in the end by the same float32 network.
    """
    found = dict(start=[], released=[], same=[], quick=[])
    for seed in track(range(runs), console=Console(stderr=True)):
        image = picture(64, seed)
        judge = Released(SMALL, image, seed)
        found['start'].append(judge.loss())
        for name, side in (
            ('released', Released(SMALL, image, seed)),
            ('same', Ours(SMALL, image, False, seed)),
            ('quick', Ours(SMALL, image, True, seed)),
        ):
            torch.manual_seed(seed)  # the views
            for number in range(iters):
                side.step(number + 1)
            strokes = getattr(side, 'model', side).strokes()
            with torch.no_grad():
                loss = judge.compare(judge.draw(strokes), judge.target)
            found[name].append(float(loss))
    return found


def report_losses(found: dict[str, list[float]], iters: int) -> None:
    """Print the mean losses and paired differences."""
    print(f'plain loss after {iters} steps, {len(found["start"])} pictures')
    for name in found:
        ratios = [a / b for a, b in zip(found[name], found['released'])]
        print(
            f'{name:9} {mean(found[name]):.4f}, of the released '
            f'{mean(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})'
        )


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('--clip', default='RN101', help='architecture; weights are random')
    add('--size', type=int, default=224)
    add('--repeats', type=int, default=4)
    add('--runs', type=int, default=8, help='pictures of the second table')
    add('--iters', type=int, default=100, help='steps of the second table')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    if args.runs:
        report_losses(final_losses(args.runs, args.iters), args.iters)
    report(measure(args.clip, args.size, args.repeats), args.clip)
    return 0


if __name__ == '__main__':
    sys.exit(main())
