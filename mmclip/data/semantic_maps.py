"""Check folders of semantic maps against their images, and make such maps.

What ``tools/prepare/ade20k.py`` and ``panoptic_to_semantic.py`` run.

Convention: a map is a PNG of one channel, uint8, with the size of its image.
H x W pixels.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmclip.files import write_whole

IGNORED = 255


def check_folder(
    images: Path,
    maps: Path,
    allowed: Sequence[int],
    expected: int | None = None,
) -> tuple[list[str], Counter]:
    """Find what in a folder of maps would spoil a training.

    Args:
        images: Folder of ``NAME.jpg``.
        maps: Folder of ``NAME.png``.
        allowed: Values that a map may have.
        expected: How many pairs the official data hold.

    Returns:
        The faults, a line each, and the pixels of each value.
    """
    for folder in (images, maps):
        if not folder.is_dir():
            return [f'{folder}: there is no such folder'], Counter()
    pictures = {p.stem: p for p in images.glob('*.jpg')}
    drawn = {p.stem: p for p in maps.glob('*.png')}
    faults = [
        *(
            f'{p}: there is no map {maps / p.stem}.png'
            for p in only(pictures, drawn)
        ),
        *(
            f'{p}: there is no image {images / p.stem}.jpg'
            for p in only(drawn, pictures)
        ),
    ]
    both = sorted(pictures.keys() & drawn.keys())
    if expected is not None and len(both) != expected:
        faults.append(
            f'{maps}: {len(both)} images with maps, expected {expected}: '
            'unpack the archive again'
        )
    pixels: Counter = Counter()
    for stem in counted(both, str(maps)):
        found = check_pair(pictures[stem], drawn[stem], allowed, pixels)
        faults += [f'{drawn[stem]}: {fault}' for fault in found]
    return faults, pixels


def only(first: dict, second: dict) -> list[Path]:
    """Return the files of ``first`` whose stem ``second`` lacks."""
    return [first[k] for k in sorted(first.keys() - second.keys())]


def check_pair(
    image: Path, drawn: Path, allowed: Sequence[int], pixels: Counter
) -> Iterator[str]:
    """Yield the faults of one map; add its values to ``pixels``."""
    try:
        with Image.open(drawn) as file:
            label = np.array(file)
        with Image.open(image) as file:
            size = file.height, file.width
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        yield f'it or its image cannot be read: {error}'
        return
    if label.ndim != 2 or label.dtype != np.uint8:
        yield (
            f'{label.dtype} of shape {label.shape}, expected uint8 of one '
            'channel: these may be colours instead of classes'
        )
        return
    if label.shape != size:
        yield f'{label.shape} pixels, but its image has {size}'
    values, counts = np.unique(label, return_counts=True)
    pixels.update(dict(zip(values.tolist(), counts.tolist())))
    beyond = sorted(set(values.tolist()) - set(allowed))
    if beyond:
        yield (
            f'values {beyond[:5]} are no classes, which are {min(allowed)} '
            f'to {max(allowed)}'
        )


def counted(items: Sequence, what: str, every: int = 1000) -> Iterator:
    """Say on stderr how far it is, every thousand items."""
    for done, item in enumerate(items, start=1):
        yield item
        if done % every == 0:
            print(f'{what}: {done} of {len(items)}', file=sys.stderr)


# ---- panoptic annotations ----


def read_panoptic(path: Path) -> tuple[list[dict], dict[int, int], list[str]]:
    """Read COCO panoptic annotations.

    Args:
        path: ``panoptic_{train,val}2017.json``.

    Returns:
        The annotations, each with ``size`` (H, W) of its image; the label of
        each category id (0 and on, in the order of the ids); their names.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no file of panoptic annotations.
    """
    if not path.is_file():
        raise FileNotFoundError(f'there are no annotations {path}')
    try:
        content = json.loads(path.read_text(encoding='utf8'))
        sizes = {i['id']: (i['height'], i['width']) for i in content['images']}
        found = [
            dict(each, size=sizes[each['image_id']])
            for each in content['annotations']
        ]
        for each in found:
            each['segments_info'], each['file_name']
        categories = sorted(content['categories'], key=lambda c: c['id'])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} holds no panoptic annotations ({error!r}): expected '
            "COCO's panoptic_*2017.json, with segments_info"
        ) from error
    if len(categories) > IGNORED:
        raise ValueError(
            f'{path} has {len(categories)} categories, but a map tells '
            f'{IGNORED} at most apart'
        )
    labels = {c['id']: k for k, c in enumerate(categories)}
    return found, labels, [c['name'] for c in categories]


def semantic_map(
    panoptic: np.ndarray, segments: Iterable[dict], labels: dict[int, int]
) -> np.ndarray:
    """Turn segments into classes.

    Args:
        panoptic: COCO's PNG, RGB (H, W, 3): a segment's id is
            R + 256 G + 65536 B, 0 belongs to none.
        segments: ``id`` and ``category_id`` of each.
        labels: The label of each category id.

    Returns:
        Labels (H, W) uint8; 255 where there is no segment.

    Raises:
        ValueError: A pixel's segment, or a segment's category, is unknown.
    """
    colours = panoptic.astype(np.int64)
    ids = colours @ np.array([1, 256, 65536])  # (H, W)
    known = {0: IGNORED}
    for segment in segments:
        if segment['category_id'] not in labels:
            raise ValueError(
                f'segment {segment["id"]} has the unknown category '
                f'{segment["category_id"]}'
            )
        known[segment['id']] = labels[segment['category_id']]
    values, places = np.unique(ids, return_inverse=True)
    unknown = [v for v in values.tolist() if v not in known]
    if unknown:
        raise ValueError(f'pixels belong to unknown segments {unknown[:3]}')
    table = np.array([known[v] for v in values.tolist()], np.uint8)
    return table[places].reshape(ids.shape)


def convert_panoptic(
    annotations: Path, pngs: Path, out: Path
) -> tuple[list[str], int]:
    """Write a semantic map for each annotated image; skip those there are.

    Args:
        annotations: ``panoptic_{train,val}2017.json``.
        pngs: Folder of the panoptic PNGs.
        out: Folder of the maps; ``classes.txt`` beside them holds the names.

    Returns:
        The faults, a line each, and how many maps are there.
    """
    found, labels, names = read_panoptic(annotations)
    out.mkdir(parents=True, exist_ok=True)
    (out / 'classes.txt').write_text('\n'.join(names) + '\n', encoding='utf8')
    faults, written = [], 0
    for each in counted(found, str(out)):
        target = out / f'{Path(each["file_name"]).stem}.png'
        try:
            if not target.exists():
                write_map(target, one_map(each, pngs, labels))
            written += 1
        except (ValueError, OSError) as error:
            faults.append(f'{pngs / each["file_name"]}: {error}')
    return faults, written


def one_map(annotation: dict, pngs: Path, labels: dict) -> np.ndarray:
    """Make the map of one image.

    Raises:
        ValueError: Its PNG has another size or unknown segments.
        OSError: It is absent or damaged.
    """
    with Image.open(pngs / annotation['file_name']) as file:
        panoptic = np.array(file.convert('RGB'))
    if panoptic.shape[:2] != tuple(annotation['size']):
        raise ValueError(
            f'{panoptic.shape[:2]} pixels, but its image has '
            f'{annotation["size"]}'
        )
    return semantic_map(panoptic, annotation['segments_info'], labels)


def write_map(path: Path, label: np.ndarray) -> None:
    """Write a map (H, W) uint8, whole or not at all."""
    picture = Image.fromarray(label)
    write_whole(path, lambda partial: picture.save(partial, 'PNG'))
