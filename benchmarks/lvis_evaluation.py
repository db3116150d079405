"""Time LVIS evaluation against lvis-api on invented data of LVIS's shape.

Both sides get an annotation file and the detections of all images as
columns, and give AP, AP50, APr and so on; reading the file and turning the
detections into what the side wants is counted. lvis-api is the ``lvis``
package, whose one line that today's numpy refuses is mended in a copy. Ends
with 1 where a figure differs by more than 1e-6. The slow side's time grows
with images x names: 4000 images and 1203 names take minutes.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mmclip.evaluation import OVLVISMetric
from mmclip.evaluation.detections import Detections

TOLERANCE = 1e-6
WANTED = 50  # times faster than lvis-api
SIDES = {'lvis': 'lvis-api', 'hotcoco': 'mmclip'}


@dataclass
class Result:
    """Hold seconds and figures of each side."""

    seconds: dict[str, float] = field(default_factory=dict)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def difference(self) -> float:
        """The largest difference of any figure."""
        ours, theirs = self.figures['hotcoco'], self.figures['lvis']
        if set(ours) != set(theirs):
            return np.inf
        return max(abs(ours[key] - theirs[key]) for key in ours)


def invent(images: int, names: int, found: int, seed: int = 0):
    """Return an annotation file's content and detections of it.

    Few names are frequent and many rare, as in LVIS; an image lists names
    that are there, names that are not, and names not looked for everywhere.

    Args:
        images: Number of images.
        names: Number of names.
        found: Detections of an image.
        seed: Of the random numbers.
    """
    random = np.random.default_rng(seed)
    share = 1 / (5 + np.arange(names))
    share /= share.sum()
    letters = np.where(np.arange(names) < names // 3, 'f', 'c')
    letters[2 * names // 3 :] = 'r'
    categories = [
        dict(id=i + 1, name=f'name {i + 1}', frequency=str(letter))
        for i, letter in enumerate(letters)
    ]
    records, annotations, columns = [], [], []
    for image in range(1, images + 1):
        there = 1 + random.choice(names, random.poisson(11) + 1, p=share)
        absent = 1 + random.choice(names, 10, p=share)
        boxes = random_boxes(random, len(there))
        records.append(
            dict(
                id=image,
                width=640,
                height=480,
                neg_category_ids=sorted(
                    set(absent.tolist()) - set(there.tolist())
                ),
                not_exhaustive_category_ids=there[:1].tolist(),
            )
        )
        annotations += [
            dict(
                id=len(annotations) + k + 1,
                image_id=image,
                category_id=int(there[k]),
                bbox=boxes[k].tolist(),
                area=float(boxes[k, 2] * boxes[k, 3]),
            )
            for k in range(len(there))
        ]
        columns.append(detect(random, image, there, boxes, names, found))
    content = dict(
        images=records, annotations=annotations, categories=categories
    )
    table = np.concatenate(columns)  # (N, 7)
    return content, Detections(
        table[:, 0].astype(np.int64),
        table[:, 6].astype(np.int64),
        table[:, 5],
        table[:, 1:5],
    )


def random_boxes(random, count: int) -> np.ndarray:
    """Return boxes (count, 4), xywh."""
    corner = random.uniform(0, 300, (count, 2))
    size = np.exp(random.uniform(np.log(8), np.log(170), (count, 2)))
    return np.concatenate((corner, size), axis=1)


def detect(random, image, there, boxes, names, found) -> np.ndarray:
    """Return detections of an image (found, 7): half near its objects."""
    which = random.integers(len(there), size=found)
    near = boxes[which] + random.normal(0, 4, (found, 4))
    near[:, 2:] = np.abs(near[:, 2:]) + 1
    guess = random.random(found) < 0.5
    category = np.where(
        guess, 1 + random.integers(names, size=found), there[which]
    )
    score = random.random(found) * np.where(guess, 0.6, 1)
    return np.column_stack(
        (np.full(found, image), near, score.round(4), category)
    )


def measure(images: int, names: int, found: int, seed: int = 0) -> Result:
    """Evaluate the same invented detections by both sides."""
    content, detections = invent(images, names, found, seed)
    result = Result()
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'truth.json'
        path.write_text(json.dumps(content))
        del content
        for backend in SIDES:
            print(f'evaluating by {SIDES[backend]} ...', file=sys.stderr)
            metric = OVLVISMetric(str(path), metric='bbox', backend=backend)
            start = time.perf_counter()
            figures = metric.measure(detections, 'bbox')
            result.seconds[backend] = time.perf_counter() - start
            result.figures[backend] = figures
    return result


def report(result: Result, images: int, names: int, found: int) -> int:
    """Print both sides and their ratio; return the exit code."""
    print(f'{images} images x {names} names, {found} detections an image')
    for backend, side in SIDES.items():
        figures = result.figures[backend]
        shown = ' '.join(
            f'{key} {figures[f"bbox_{key}"]:.6f}'
            for key in ('AP', 'APr', 'APc', 'APf')
        )
        print(f'{side:10} {result.seconds[backend]:9.2f} s   {shown}')
    ratio = result.seconds['lvis'] / result.seconds['hotcoco']
    print(f'{ratio:.0f} times faster (wanted: {WANTED})')
    print(
        f'largest difference of {len(result.figures["lvis"])} figures: '
        f'{result.difference:.1e} (<= {TOLERANCE:.0e})'
    )
    return int(not result.difference <= TOLERANCE)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 where the two sides do not agree."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=1500)
    parser.add_argument('--names', type=int, default=1203)
    parser.add_argument('--detections', type=int, default=300)
    args = parser.parse_args(argv)
    sizes = args.images, args.names, args.detections
    return report(measure(*sizes), *sizes)


if __name__ == '__main__':
    sys.exit(main())
