"""Measure folders of a few and of many images: memory and time an image.

Each command runs over folders of 10 and of 200 different images of one size,
each in a process of its own, with networks of the shapes world (for boxes one
with random weights: what a network answers does not change what it costs).
Ends with 1 where the many take more than 1.1 times the peak memory of the
few, or more than 1.3 times the time an image. Time is the process's own, so
that what else a machine does has no say in it; that of the first images, in
which everything is built, is left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

MEMORY, TIME = 1.1, 1.3  # most that many images may take more than few
WARM = 4  # images before the clock starts
COMMANDS = ('detect', 'segment', 'sketch')


def write_images(folder: Path, count: int, size: int) -> None:
    """Write photographs of noise, each different."""
    folder.mkdir()
    for k in range(count):
        pixels = np.random.default_rng(k).integers(0, 256, (8, 8, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((size, size), Image.BICUBIC)
        picture.save(folder / f'{k:04d}.png')


def write_detector(path: Path) -> None:
    """Write a checkpoint of a detector with random weights."""
    import torch
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    from mmclip.jobs import find_config

    cfg = Config.fromfile(find_config('vild-text_r18_fpn_shapes'))
    init_default_scope('mmdet')
    torch.manual_seed(0)
    state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg.pretty_text)), path)


def words_of(command: str, images: Path, out: Path, model: Path) -> list[str]:
    """Return the words of a command over a folder."""
    words = [command, str(images), '--out', str(out), '--quiet']
    if command == 'sketch':
        small = ['--strokes', '2', '--iters', '2', '--seeds', '1']
        return [*words, '--clip', 'shapes-clip', *small, '--formats', 'svg']
    names = ['--text', 'red circle . blue square . green star']
    words += [*names, '--device', 'cpu', '--batch-size', '2']
    if command == 'segment':
        return [*words, '--model', 'mmclip://groupvit-shapes']
    formats = ['pictures', 'json', 'coco', 'labelme', 'odvg']
    least = ['--score-thr', '0.02', '--formats', *formats]
    return [*words, '--model', str(model), *least]


def measure_here(words: list[str], out: Path, command: str) -> dict:
    """Run a command in this process; return what it took."""
    import resource

    from mmclip.cli import main
    from mmclip.clipasso import loop
    from mmclip.inference import detect_command, segment_command

    stamps = []

    def stamped(function):
        def stamp(*args, **kwargs):
            found = function(*args, **kwargs)
            stamps.append((time.process_time(), time.perf_counter()))
            return found

        return stamp

    place, name = {
        'detect': (detect_command, 'write'),
        'segment': (segment_command, 'write_result'),
        'sketch': (loop.SketchTrainLoop, 'run_batch'),
    }[command]
    setattr(place, name, stamped(getattr(place, name)))
    code = main(words)
    warm = np.array(stamps[min(WARM, len(stamps) - 2) :])
    seconds, wall = (warm[-1] - warm[0]) / (len(warm) - 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return dict(
        code=code,
        images=len(stamps),
        megabytes=peak,
        seconds=float(seconds),
        wall=float(wall),
    )


def measure(command: str, count: int, size: int, folder: Path) -> dict:
    """Measure a command over ``count`` images in a process of its own."""
    images, out = folder / f'images{count}', folder / f'{command}{count}'
    if not images.exists():
        write_images(images, count, size)
    words = words_of(command, images, out, folder / 'detector.pth')
    done = subprocess.run(
        [sys.executable, '-m', 'benchmarks.folder_inference', '--child']
        + [command, str(out), json.dumps(words)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    return json.loads(done.stdout.splitlines()[-1])


def report(command: str, few: dict, many: dict) -> bool:
    """Print both sides; return whether the many take no more."""
    for side in (few, many):
        print(
            f'{command:<8} {side["images"]:>5} images: peak '
            f'{side["megabytes"]:6.0f} MB, {1000 * side["seconds"]:5.0f} ms '
            f'an image ({1000 * side["wall"]:.0f} ms by the clock)'
        )
    memory = many['megabytes'] / few['megabytes']
    pace = many['seconds'] / few['seconds']
    good = memory <= MEMORY and pace <= TIME and not many['code']
    print(
        f'{command:<8} ratio: memory {memory:.2f} (at most {MEMORY}), time '
        f'{pace:.2f} (at most {TIME}): {"holds" if good else "DOES NOT HOLD"}'
    )
    return good


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--few', type=int, default=10)
    parser.add_argument('--many', type=int, default=200)
    parser.add_argument('--size', type=int, default=256, help='pixels a side')
    parser.add_argument(
        '--commands', nargs='+', choices=COMMANDS, default=list(COMMANDS)
    )
    parser.add_argument('--child', nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measure and print; 1 where anything grows."""
    args = parse_args(argv)
    if args.child:
        command, out, words = args.child
        found = measure_here(json.loads(words), Path(out), command)
        print(json.dumps(found))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write_detector(Path(folder) / 'detector.pth')
        good = [
            report(
                command,
                *(
                    measure(command, count, args.size, Path(folder))
                    for count in (args.few, args.many)
                ),
            )
            for command in args.commands
        ]
    return 0 if all(good) else 1


if __name__ == '__main__':
    sys.exit(main())
