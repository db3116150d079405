"""Time the reading of teacher embeddings against one .pth file an image.

Both sides hold the same half-precision embeddings of the same proposals and
give the same boxes and embeddings, float32 and of unit length; they take turns
image by image, in an order that no cache on the way likes. Ends with 1 where
they differ.

Symbols: N boxes an image, D embedding width.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track

from mmclip.vild.shards import open_folder, shard_ranges, write_shard
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


def read_pth(folder: Path, index: int) -> tuple:
    """Read one image from its own file."""
    stored = torch.load(folder / f'pth/{index}.pth', weights_only=True)
    return stored['box'], F.normalize(stored['emb'].float(), dim=1)


def measure(folder: Path, images: int, passes: int) -> tuple:
    """Return each side's seconds for every reading, and their difference.

    The first pass warms both sides and is not counted.
    """
    cache, times, gap = TeacherCache(folder / 'cache'), ([], []), 0.0
    order = np.random.default_rng(0)
    for turn in range(passes + 1):
        for index in order.permutation(images).tolist():
            start = time.perf_counter()
            box, theirs = read_pth(folder, index)
            middle = time.perf_counter()
            own, ours = cache.of(index)
            stop = time.perf_counter()
            if turn:
                times[0].append(middle - start)
                times[1].append(stop - middle)
            gap = max(gap, np.abs(ours - theirs.numpy()).max())
            gap = max(gap, np.abs(own - box.numpy()).max())
    return *map(np.array, times), float(gap)


def report(pth, cache, gap: float, boxes: int, width: int) -> int:
    """Print both sides and their ratio; return the exit code."""
    ratio = np.median(pth) / np.median(cache)
    print(
        f'{len(pth)} readings of {boxes} x {width}, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}'
    )
    for name, seconds in (('one .pth an image', pth), ('shards', cache)):
        low, middle, high = np.percentile(1e3 * seconds, [5, 50, 95])
        print(f'{name:<20} {middle:8.3f} ms   ({low:.3f} to {high:.3f})')
    print(f'ratio of the medians {ratio:8.1f}   (wanted: {WANTED})')
    print(f'largest difference   {gap:8.1e}')
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
        found = measure(folder, args.images, args.passes)
    return report(*found, args.boxes, args.width)


if __name__ == '__main__':
    sys.exit(main())
