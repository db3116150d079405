"""Time drawing strokes and deriving the picture, beside pydiffvg if present.

Scenes are random: strokes of 48 pixels' length on average (as in sketches of
16 strokes that were optimised), 3 pixels wide, on 224 x 224. Each backend
draws the same scenes in turn; figures are medians of the process's CPU time,
forward and backward. The last lines draw ever more strokes, and ever larger
canvases, in processes of their own, and print the most memory they had in
use.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

# started as a script, Python looks beside this file, not above it
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mmclip.clipasso import AnalyticRasterizer, DiffVGRasterizer  # noqa: E402

WANTED = dict(torch=12.0, numba=1.5)  # ms for 16 strokes
SIDE = 224


def scene(strokes: int, images: int = 1, seed: int = 0) -> tuple[Tensor, ...]:
    """Return points (M, N, 1, 4, 2), half widths (M, N) and RGBA (M, N, 4)."""
    generator = torch.Generator().manual_seed(seed)
    start = SIDE * torch.rand(images, strokes, 1, 1, 2, generator=generator)
    steps = torch.randn(images, strokes, 1, 3, 2, generator=generator)
    points = torch.cat([start, start + (18 * steps).cumsum(3)], dim=3)
    rgba = torch.tensor([0.0, 0, 0, 1]).expand(images, strokes, 4)
    return points, torch.full((images, strokes), 1.5), rgba


def lengths(points: Tensor) -> Tensor:
    """Return the lengths (M, N) of strokes of one segment, in pixels."""
    t = torch.linspace(0, 1, 33)[:, None]
    p = points[:, :, 0, :, None]  # (M, N, 4, 1, 2)
    u = 1 - t
    line = u**3 * p[:, :, 0] + 3 * t * u * u * p[:, :, 1]
    line = line + 3 * t * t * u * p[:, :, 2] + t**3 * p[:, :, 3]
    return line.diff(dim=2).norm(dim=3).sum(dim=2)


def step(raster: Callable, strokes: tuple[Tensor, ...], size: int) -> None:
    """Draw and derive once."""
    points, width, rgba = strokes
    leaves = [points.clone().requires_grad_(), width, rgba]
    image = raster(*leaves, (size, size))
    image[:, 3].sum().backward()


def milliseconds(raster: Callable, strokes, repeats: int) -> float:
    """Return the median CPU time of a step."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        step(raster, strokes, SIDE)
        found.append(1e3 * (time.process_time() - start))
    return median(found)


def backends() -> dict[str, Callable]:
    """Return the rasterisers that run here; missing ones are named."""
    found = {}
    for name, build in (
        ('torch', lambda: AnalyticRasterizer(backend='torch')),
        ('numba', lambda: AnalyticRasterizer(backend='numba')),
        ('pydiffvg', DiffVGRasterizer),
    ):
        try:
            found[name] = build()
        except ImportError as error:
            print(f'{name}: {str(error)[:75]}')
    return found


def measure(
    counts: list[int], batches: list[int], repeats: int
) -> dict[tuple[int, int], dict[str, float]]:
    """Time every backend on every scene, by (images, strokes)."""
    sides, found = backends(), {}
    for raster in sides.values():
        step(raster, scene(2), SIDE)  # warm up; numba compiles
    cases = [(m, n) for m in batches for n in counts]
    for images, strokes in track(cases, console=Console(stderr=True)):
        times = {name: [] for name in sides}
        for seed in range(3):
            drawn = scene(strokes, images, seed)
            for name, raster in sides.items():
                times[name].append(milliseconds(raster, drawn, repeats))
        found[images, strokes] = {k: median(v) for k, v in times.items()}
    return found


def report(found: dict) -> None:
    """Print the table, what was wanted, and the cost of a stroke."""
    print(
        f'{SIDE} x {SIDE}, strokes of {lengths(scene(500)[0]).mean():.0f} px, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}, CPU ms'
    )
    names = list(next(iter(found.values())))
    print('images strokes ' + ' '.join(f'{n:>9}' for n in names))
    for (images, strokes), times in found.items():
        row = ' '.join(f'{times[n]:9.2f}' for n in names)
        print(f'{images:6} {strokes:7} {row}')
    for name, wanted in WANTED.items():
        if name in names and (1, 16) in found:
            took = found[1, 16][name]
            print(f'{name}: 16 strokes {took:.2f} ms (wanted: {wanted})')
    one = sorted(n for m, n in found if m == 1)
    for name in names:
        if len(one) > 1:
            each = [
                1e3 * (found[1, b][name] - found[1, a][name]) / (b - a)
                for a, b in zip(one, one[1:])
            ]
            steps = ', '.join(f'{us:.0f}' for us in each)
            print(f'{name}: each further stroke costs {steps} us')


def peak_memory(backend: str, strokes: int, size: int) -> float:
    """Return the MiB that a step needs beyond what was there before it.

    It runs in a new process, and is asked of Linux.
    """
    code = (
        'from benchmarks import raster as r; '
        f'print(r.step_memory({backend!r}, {strokes}, {size}))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def step_memory(backend: str, strokes: int, size: int) -> float:
    """Return the MiB that a step adds to this process's peak."""
    torch.set_num_threads(1)
    raster = AnalyticRasterizer(backend=backend)
    step(raster, scene(2), 32)
    Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far
    before = resident('VmRSS')
    step(raster, scene(strokes), size)
    return (resident('VmHWM') - before) / 1024


def resident(key: str) -> int:
    """Return a value in KiB of this process's status."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{key}:'):
            return int(line.split()[1])
    raise OSError(f'/proc/self/status has no {key}')


def report_memory(names: list[str]) -> None:
    """Print the peak memory of more strokes and of larger canvases."""
    print(
        'MiB at the peak of a step; one picture and its gradient in brackets'
    )
    for name in names:
        row = []
        for strokes, size in ((16, 224), (64, 224), (256, 224), (16, 1792)):
            canvas = 2 * 16 * size**2 / 2**20
            peak = peak_memory(name, strokes, size)
            row.append(f'{strokes} at {size}: {peak:.0f} ({canvas:.0f})')
        print(f'{name}: ' + ', '.join(row))


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('--strokes', type=int, nargs='+', default=[4, 16, 32, 64, 256])
    add('--images', type=int, nargs='+', default=[1, 12])
    add('--repeats', type=int, default=15, help='of each of three scenes')
    add('--no-memory', action='store_true', help='leave the last lines out')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    found = measure(args.strokes, args.images, args.repeats)
    report(found)
    if not args.no_memory:
        names = next(iter(found.values()))
        report_memory([n for n in WANTED if n in names])
    return 0


if __name__ == '__main__':
    sys.exit(main())
