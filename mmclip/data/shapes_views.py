"""What detectors and segmentors read off a scene of the shapes world.

Phrases with boxes (GLIP), a semantic map (LSeg) and a COCO folder.

Symbols: S image side in pixels, N objects, K names.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmclip.data.shapes import (
    Concept,
    Scene,
    SceneObject,
    concepts,
    draw_scene,
)
from mmclip.data.shapes_captions import listing, sized_name, with_article


def phrases(scene: Scene) -> tuple[str, list[tuple[int, int]], np.ndarray]:
    """Return a caption, the characters of each object in it, and the boxes.

    Returns:
        caption: Such as ``a red ring and a small blue star``.
        spans: N half-open ``(start, stop)`` of the names without article.
        boxes: float32 (N, 4), xyxy pixels.
    """
    names = [sized_name(o) for o in scene.objects]
    caption = listing([with_article(n) for n in names]) if names else ''
    spans, start = [], 0
    for name in names:
        start = (
            caption.index(with_article(name), start)
            + len(with_article(name))
            - len(name)
        )
        spans.append((start, start + len(name)))
        start += len(name)
    boxes = np.array([o.box for o in scene.objects], np.float32)
    return caption, spans, boxes.reshape(-1, 4)


def semantic_map(scene: Scene, names: Sequence[str]) -> np.ndarray:
    """Return uint8 (S, S): 0 background, k + 1 where ``names[k]`` is seen.

    An object whose name is not among ``names`` is 255, to be ignored.

    Raises:
        ValueError: More than 254 names do not fit into a byte.
    """
    if len(names) > 254:
        raise ValueError(
            f'got {len(names)} names, but a semantic map holds '
            "254 at most: pass the names of 'shapes-80'"
        )
    number = {name: k + 1 for k, name in enumerate(names)}
    seen = np.zeros(scene.image.shape[:2], np.uint8)
    for entry in scene.objects:
        seen[entry.mask] = number.get(entry.concept.name, 255)
    return seen


def export_coco(
    folder: str | os.PathLike,
    num_images: int,
    *,
    seed: int = 0,
    size: int = 128,
    among: Sequence[Concept] | None = None,
    names: Sequence[str] | None = None,
) -> Path:
    """Write scenes as PNG files and one COCO annotation file.

    Args:
        folder: Where; ``images/`` and ``annotations.json`` go into it.
        num_images: Scene ``i`` follows from ``(seed, i)``.
        seed: Another one draws other scenes.
        size: Side of the images in pixels.
        among: Concepts to draw; the base ones of ``shapes-80`` by default.
        names: The categories, ids from 1; by default the names of
            ``shapes-80``, or of ``among`` where that holds others.

    Returns:
        The annotation file; it is written last and renamed into place.

    Raises:
        ValueError: A drawn concept is missing from ``names``.
    """
    import cv2

    among = (
        concepts('base', vocabulary='shapes-80') if among is None else among
    )
    listed = [c.name for c in concepts(vocabulary='shapes-80')]
    drawn = [c.name for c in among]
    names = names or (listed if set(drawn) <= set(listed) else drawn)
    if missing := set(drawn) - set(names):
        raise ValueError(
            f'names lacks {sorted(missing)[:3]} which would be '
            'drawn: add them, or leave them out of among'
        )
    folder = Path(folder)
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in range(num_images):
        scene = draw_scene((seed, i), size, among)
        name = f'{i:06d}.png'
        png = cv2.imencode('.png', scene.image[..., ::-1])[1]
        _replace(folder / 'images' / name, png.tobytes())
        images.append(dict(id=i, file_name=name, width=size, height=size))
        for entry in scene.objects:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=i,
                    iscrowd=0,
                    category_id=names.index(entry.concept.name) + 1,
                    **coco_shape(entry),
                )
            )
    categories = [dict(id=k + 1, name=name) for k, name in enumerate(names)]
    content = dict(
        images=images, annotations=annotations, categories=categories
    )
    target = folder / 'annotations.json'
    _replace(target, json.dumps(content).encode())
    return target


def coco_shape(entry: SceneObject) -> dict:
    """Return bbox (xywh), area and run lengths of an object, as COCO does."""
    x0, y0, x1, y1 = entry.box
    return dict(
        bbox=[x0, y0, x1 - x0, y1 - y0],
        area=int(np.count_nonzero(entry.mask)),
        segmentation=run_lengths(entry.mask),
    )


def run_lengths(mask: np.ndarray) -> dict:
    """Return COCO's uncompressed run lengths of a mask, column by column."""
    flat = np.concatenate([[0], mask.ravel(order='F'), [0]])
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    counts = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    return dict(size=list(mask.shape), counts=counts)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    temporary.write_bytes(content)
    os.replace(temporary, path)
