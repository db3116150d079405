"""What detectors and segmentors read off a scene of the shapes world.

Phrases with boxes (GLIP), a semantic map (LSeg), and entries in the formats
of COCO and ODVG; ``shapes_export`` writes them.

Symbols: S image side in pixels, N objects, K names.
"""

from collections.abc import Sequence

import numpy as np

from mmclip.data.shapes import Scene, SceneObject
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


def odvg_detection(scene: Scene, names: Sequence[str]) -> dict:
    """Return an image's entry as mmdet's ODVGDataset reads detections.

    Returns:
        ``instances``, each with bbox (xyxy), label (of ``names``) and
        category (its name).
    """
    return dict(
        instances=[
            dict(
                bbox=list(entry.box),
                label=names.index(entry.concept.name),
                category=entry.concept.name,
            )
            for entry in scene.objects
        ]
    )


def odvg_grounding(scene: Scene) -> dict:
    """Return an image's entry as mmdet's ODVGDataset reads phrases.

    Returns:
        ``caption`` and ``regions``, each with bbox (xyxy), phrase and
        tokens_positive: half-open spans of characters in the caption.
    """
    caption, spans, _ = phrases(scene)
    return dict(
        caption=caption,
        regions=[
            dict(
                bbox=list(entry.box),
                phrase=caption[start:stop],
                tokens_positive=[[start, stop]],
            )
            for entry, (start, stop) in zip(scene.objects, spans)
        ],
    )


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
