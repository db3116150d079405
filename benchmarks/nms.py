"""Time NMS over LVIS's 1203 names against mmdet's multiclass_nms.

Both sides get the same regions and scores, as a text classifier gives them:
class-agnostic boxes, a softmax over the names. They take turns on every
image. What they keep is compared with NMS of each class by itself in
float64; ends with 1 where one of our detections differs. (mmdet tells classes
apart by moving float32 boxes, which may round an overlap over the threshold.)

Symbols: R regions, K names.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torchvision.ops import nms

from mmclip.vild import TopFirstNMS

WANTED = 5  # times faster than mmdet
THRESHOLD, IOU, DETECTIONS = 1e-4, 0.5, 300  # detpro's; ViLD's is 0
NAMES = 1203


@dataclass
class Times:
    """Hold seconds an image of each side, and images that differ."""

    mmdet: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    ours_at_zero: list[float] = field(default_factory=list)
    differing: int = 0
    mmdet_differing: int = 0
    candidates: list[int] = field(default_factory=list)


def random_image(
    seed: int, regions: int = 1000, names: int = NAMES, spread: float = 3.0
) -> tuple[Tensor, Tensor]:
    """Return the boxes (R, 4) and scores (R, K) of an invented image.

    Regions crowd around 60 objects, those of one object have similar scores:
    so do proposals, and NMS has something to do.

    Args:
        seed: Of the image.
        regions: R.
        names: K.
        spread: Standard deviation of the logits.
    """
    g = torch.Generator().manual_seed(seed)
    objects = 800 * torch.rand(60, 2, generator=g)
    sizes = 20 + 100 * torch.rand(60, 2, generator=g)
    likeness = torch.randn(60, names, generator=g)
    which = torch.randint(60, (regions,), generator=g)
    corner = objects[which] + 12 * torch.randn(regions, 2, generator=g)
    size = sizes[which] * (0.8 + 0.4 * torch.rand(regions, 2, generator=g))
    noise = torch.randn(regions, names, generator=g)
    logits = spread * (0.8 * likeness[which] + 0.6 * noise)
    background = logits.new_full((regions, 1), spread * 3)
    scores = torch.cat((logits, background), dim=1).softmax(dim=1)
    return torch.cat((corner, corner + size), dim=1), scores


def per_class(
    boxes: Tensor, scores: Tensor, score_thr: float, max_per_img: int
) -> list[tuple[float, int, int]]:
    """Return (score, region, label) of NMS class by class in float64."""
    found = []
    for label in range(scores.shape[1]):
        column = scores[:, label]
        region = (column > score_thr).nonzero().squeeze(1)
        region = region[column[region].argsort(descending=True, stable=True)]
        ranks = torch.arange(len(region), dtype=torch.float64)
        kept = region[nms(boxes[region].double(), -ranks, IOU)]
        values = column[kept].tolist()
        found += zip(values, kept.tolist(), [label] * len(kept))
    found.sort(key=lambda d: (-d[0], *d[1:]))
    return found[:max_per_img]


def listed(found) -> list[tuple[float, int, int]]:
    """Return our result in the form of :func:`per_class`."""
    dets, labels, keep = (t.tolist() for t in found)
    return [(d[4], i, label) for d, i, label in zip(dets, keep, labels)]


def measure(images: int, regions: int = 1000, names: int = NAMES) -> Times:
    """Time both sides image by image; each begins every other time."""
    from mmdet.models.layers import multiclass_nms

    ours = TopFirstNMS(IOU)
    config = dict(type='nms', iou_threshold=IOU)
    times = Times()

    def mmdet(boxes, scores, threshold):
        dets, labels, index = multiclass_nms(
            boxes, scores, threshold, config, DETECTIONS, return_inds=True
        )
        return dets, labels, index // (scores.shape[1] - 1)

    def top_first(boxes, scores, threshold):
        return ours(boxes, scores[:, :-1], threshold, DETECTIONS)

    small = random_image(0, 50, names)
    for side in (mmdet, top_first):
        side(*small, THRESHOLD)  # warm up
    for k in track(range(images), console=Console(stderr=True)):
        boxes, scores = random_image(k, regions, names)
        times.candidates.append(int((scores[:, :-1] > THRESHOLD).sum()))
        sides = [
            (times.mmdet, mmdet, THRESHOLD),
            (times.ours, top_first, THRESHOLD),
            (times.ours_at_zero, top_first, 0.0),
        ]
        found = {}
        for seconds, side, threshold in sides if k % 2 else sides[::-1]:
            found[id(seconds)] = timed(seconds, side, boxes, scores, threshold)
        exact = {
            threshold: per_class(boxes, scores[:, :-1], threshold, DETECTIONS)
            for threshold in (THRESHOLD, 0.0)
        }
        differ = {
            id(seconds): listed(found[id(seconds)]) != exact[threshold]
            for seconds, _, threshold in sides
        }
        times.mmdet_differing += differ.pop(id(times.mmdet))
        times.differing += any(differ.values())
    return times


def timed(seconds: list[float], side: Callable, *arguments):
    """Run a side and note its seconds."""
    start = time.perf_counter()
    found = side(*arguments)
    seconds.append(time.perf_counter() - start)
    return found


def report(times: Times, regions: int, names: int) -> int:
    """Print both sides and their ratio; return the exit code."""
    slow, fast, zero = (
        median(t) for t in (times.mmdet, times.ours, times.ours_at_zero)
    )
    print(
        f'{regions} regions x {names} names, {len(times.ours)} images, '
        f'{int(median(times.candidates))} candidates above {THRESHOLD:g}, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}'
    )
    print('median seconds an image')
    print(f'mmdet multiclass_nms, threshold {THRESHOLD:g}   {slow:8.3f}')
    print(
        f'mmclip TopFirstNMS, threshold {THRESHOLD:g}     {fast:8.3f}   '
        f'{slow / fast:5.1f} times faster (wanted: {WANTED})'
    )
    print(f'mmclip TopFirstNMS, threshold 0          {zero:8.3f}')
    print(
        f'images that differ from per-class NMS in float64: '
        f'ours {times.differing}, mmdet {times.mmdet_differing} of '
        f'{len(times.ours)}'
    )
    return int(times.differing > 0)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 where ours is not exact."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=10)
    parser.add_argument('--regions', type=int, default=1000)
    parser.add_argument('--names', type=int, default=NAMES)
    parser.add_argument('--threads', type=int, help="torch's; default: all")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    times = measure(args.images, args.regions, args.names)
    return report(times, args.regions, args.names)


if __name__ == '__main__':
    sys.exit(main())
