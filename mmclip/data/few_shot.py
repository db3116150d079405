"""Make few-shot splits of a data set in COCO's format."""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from mmclip.files import write_whole

SHOTS = (1, 3, 5, 10)
SEEDS = (3, 30, 300)


def few_shot_images(truth: dict, shots: int, seed: int) -> list:
    """Choose images until every class was seen in ``shots`` of them.

    GLIP's rule for ODinW: images come in an order shuffled by ``seed`` and
    are taken when they show a class that is still wanted; so some classes
    end up with more. A class with fewer images gets all of them.

    Args:
        truth: Content of an annotation file.
        shots: Images wanted of each class.
        seed: Of the order.

    Returns:
        Ids of the images in the order they were taken.

    Raises:
        ValueError: ``shots`` is not positive.
    """
    if shots < 1:
        raise ValueError(f'shots={shots}: expected at least 1')
    shown: dict = {}
    for entry in truth['annotations']:
        if not entry.get('iscrowd'):
            shown.setdefault(entry['image_id'], set()).add(
                entry['category_id']
            )
    order = sorted(image['id'] for image in truth['images'])
    random.Random(seed).shuffle(order)
    wanted = {category['id']: shots for category in truth['categories']}
    taken = []
    for image in order:
        classes = shown.get(image, set())
        if any(wanted[k] > 0 for k in classes):
            taken.append(image)
            for k in classes:
                wanted[k] -= 1
    return taken


def few_shot_split(truth: dict, shots: int, seed: int) -> dict:
    """Return an annotation file of the chosen images; see above."""
    kept = set(few_shot_images(truth, shots, seed))
    return truth | dict(
        images=[i for i in truth['images'] if i['id'] in kept],
        annotations=[a for a in truth['annotations'] if a['image_id'] in kept],
    )


def counts(truth: dict) -> dict[str, int]:
    """Return in how many images each class is seen."""
    shown = {
        (a['category_id'], a['image_id'])
        for a in truth['annotations']
        if not a.get('iscrowd')
    }
    return {
        c['name']: sum(k == c['id'] for k, _ in shown)
        for c in truth['categories']
    }


def write_splits(
    source: str, folder: str, shots: Sequence[int], seeds: Sequence[int]
) -> list[Path]:
    """Write ``<name>_<shots>shot_seed<seed>.json`` for every pair.

    Returns:
        The files.
    """
    path = Path(source)
    truth = json.loads(path.read_text(encoding='utf8'))
    written = []
    for shot in shots:
        for seed in seeds:
            split = few_shot_split(truth, shot, seed)
            target = Path(folder) / f'{path.stem}_{shot}shot_seed{seed}.json'
            text = json.dumps(split)
            write_whole(target, lambda file, text=text: file.write_text(text))
            few = counts(split)
            print(
                f'{target}: {len(split["images"])} images, '
                f'{len(split["annotations"])} boxes, a class is in '
                f'{min(few.values(), default=0)} to '
                f'{max(few.values(), default=0)} images'
            )
            written.append(target)
    return written


def main(argv: list[str] | None = None) -> int:
    """Read the command line and write; 1 for an error of the user's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('annotations', help="file in COCO's format")
    parser.add_argument('folder', help='where the splits go')
    parser.add_argument('--shots', type=int, nargs='+', default=SHOTS)
    parser.add_argument('--seeds', type=int, nargs='+', default=SEEDS)
    args = parser.parse_args(argv)
    try:
        write_splits(args.annotations, args.folder, args.shots, args.seeds)
    except (OSError, ValueError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0
