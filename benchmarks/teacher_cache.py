"""Time the reading of teacher embeddings against one .pth file an image.

Both sides hold the same half-precision embeddings of the same proposals. They
are timed "in a pipeline" (what a training pipeline holds afterwards; our side
has views of the shards, whose bytes nobody has touched), "in memory" (our
side copies them too) and "ready" (float32, of unit length; our side also
checks each row). They take turns image by image in a random order. "In a zip"
is DetPro's way: float32 files in one archive, against ours in memory. Files
are in the page cache. Ends with 1 where the two sides differ.

Symbols: N boxes an image, D embedding width.
"""

import argparse
import io
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track

from mmclip.clip.folders import open_folder
from mmclip.vild.distillation_targets import unit_rows
from mmclip.vild.shards import shard_ranges, write_shard
from mmclip.vild.teacher_cache import FORMAT, VERSION, TeacherCache

WANTED = 20  # times faster than .pth


def draw(index: int, boxes: int, width: int) -> tuple:
    """Draw one image's embeddings (N, D) float16, boxes and scores."""
    rng = np.random.default_rng(index)
    rows = rng.standard_normal((boxes, width), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    low = rng.uniform(0, 300, (boxes, 2)).astype(np.float32)
    places = np.concatenate([low, low + 100], 1)
    scores = np.linspace(1, 0, boxes, dtype=np.float32)
    return rows.astype(np.float16), places, scores


def write_both(folder: Path, images: int, boxes: int, width: int) -> None:
    """Write the cache and the files of both sides."""
    manifest = dict(
        format=FORMAT,
        version=VERSION,
        num_images=images,
        shard_size=1000,
        embed_dims=width,
    )
    open_folder(folder / 'cache', manifest)
    (folder / 'pth').mkdir()
    console = Console(stderr=True)
    ranges = shard_ranges(images, 1000)
    archive = ZipFile(folder / 'pth.zip', 'w')
    for number, part in enumerate(track(ranges, 'writing', console=console)):
        drawn = [draw(i, boxes, width) for i in part]
        rows, places, scores = map(list, zip(*drawn))
        arrays = dict(emb=rows, box=places, score=scores)
        write_shard(folder / 'cache', number, list(part), arrays)
        for i, (emb, box, _) in zip(part, drawn):
            tensors = dict(
                emb=torch.from_numpy(emb), box=torch.from_numpy(box)
            )
            torch.save(tensors, folder / f'pth/{i}.pth')
            whole = io.BytesIO()
            torch.save({k: v.float() for k, v in tensors.items()}, whole)
            archive.writestr(f'{i}.pth', whole.getvalue())
    archive.close()


def load_pth(folder: Path, index: int) -> tuple:
    """Read one image from its own file, as stored."""
    stored = torch.load(folder / f'pth/{index}.pth', weights_only=True)
    return stored['box'], stored['emb']


def ready_pth(folder: Path, index: int) -> tuple:
    """Read one image from its own file, ready for use."""
    box, emb = load_pth(folder, index)
    return box, F.normalize(emb.float(), dim=1)


def load_zip(archive: ZipFile, index: int) -> tuple:
    """Read one image from an archive of float32 files, as stored."""
    content = io.BytesIO(archive.read(f'{index}.pth'))
    stored = torch.load(content, weights_only=True)
    return stored['box'], stored['emb']


def load_shards(cache: TeacherCache, index: int) -> tuple:
    """Read one image from the shards, as stored, copied."""
    return tuple(map(np.array, cache.of(index)))


def ready_shards(cache: TeacherCache, index: int) -> tuple:
    """Read one image from the shards, ready for use."""
    box, emb = cache.of(index)
    rows = torch.from_numpy(emb).float()
    return np.array(box), unit_rows(rows, index).numpy()


def measure(folder: Path, images: int, passes: int) -> tuple[dict, float]:
    """Return the seconds of every reading, and the sides' difference.

    The first pass warms both sides and is not counted.

    Returns:
        ``{what: ([of .pth], [of the shards])}`` and the largest difference.
    """
    cache, gap = TeacherCache(folder / 'cache'), 0.0
    archive = ZipFile(folder / 'pth.zip')
    ways = {
        'in a pipeline': (lambda i: load_pth(folder, i), cache.of),
        'in memory': (
            lambda i: load_pth(folder, i),
            lambda i: load_shards(cache, i),
        ),
        'ready': (
            lambda i: ready_pth(folder, i),
            lambda i: ready_shards(cache, i),
        ),
        'in a zip': (
            lambda i: load_zip(archive, i),
            lambda i: load_shards(cache, i),
        ),
    }
    times = {what: ([], []) for what in ways}
    order = np.random.default_rng(0)
    for turn in range(passes + 1):
        for index in order.permutation(images).tolist():
            for what, sides in ways.items():
                found = []
                for side, kept in zip(sides, times[what]):
                    start = time.perf_counter()
                    found.append(side(index))
                    if turn:
                        kept.append(time.perf_counter() - start)
                for theirs, ours in zip(*found):
                    gap = max(gap, np.abs(ours - theirs.numpy()).max())
    return times, float(gap)


def report(times: dict, gap: float, boxes: int, width: int) -> int:
    """Print both sides and their ratios; return the exit code."""
    count = len(next(iter(times.values()))[0])
    print(
        f'{count} readings of {boxes} x {width}, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}'
    )
    for what, sides in times.items():
        middles = [1e3 * float(np.median(side)) for side in sides]
        for name, side, middle in zip(('.pth', 'shards'), sides, middles):
            low, high = np.percentile(1e3 * np.array(side), [5, 95])
            print(
                f'{what:<15}{name:<8}{middle:8.3f} ms   '
                f'({low:.3f} to {high:.3f})'
            )
        ratio = middles[0] / middles[1]
        print(f'{what:<15}ratio   {ratio:8.1f}      (wanted: {WANTED})')
    print(f'largest difference {gap:.1e}')
    return int(gap > 1e-6)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 where the two sides do not agree."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=2000)
    parser.add_argument('--passes', type=int, default=2)
    parser.add_argument('--boxes', type=int, default=300)
    parser.add_argument('--width', type=int, default=512)
    args = parser.parse_args(argv)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_both(folder, args.images, args.boxes, args.width)
        times, gap = measure(folder, args.images, args.passes)
    return report(times, gap, args.boxes, args.width)


if __name__ == '__main__':
    sys.exit(main())
