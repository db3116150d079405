"""Draw what was found: boxes, masks and names of any vocabulary.

Images are uint8 (H, W, 3) RGB; boxes are xyxy pixels of the image drawn on.
"""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from mmclip.files import write_whole

# Okabe and Ito's colours, which the colour-blind tell apart too; without
# yellow, which is hard to see on white, and black, which is no tint.
PALETTE = np.array(
    [
        [213, 94, 0],
        [0, 114, 178],
        [0, 158, 115],
        [204, 121, 167],
        [230, 159, 0],
        [86, 180, 233],
    ],
    np.uint8,
)


def colour_of(index: int) -> np.ndarray:
    """Return the RGB colour of the ``index``-th name; uint8 (3,).

    The palette's own come first; further ones turn around the colour circle
    by the golden section, so that all differ.
    """
    if index < len(PALETTE):
        return PALETTE[index]
    hue = index * 0.618034 % 1 * 180  # OpenCV's circle has 180 steps
    value = 230 - 35 * (index % 3)
    hsv = np.array([[[hue, 200, value]]], np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]


def draw_detections(
    image: np.ndarray,
    boxes,
    names,
    scores=None,
    masks=None,
    min_side: int = 0,
    order=None,
    with_legend: bool = False,
) -> np.ndarray:
    """Draw boxes with their names, and masks where there are any.

    Args:
        image: (H, W, 3) RGB.
        boxes: (N, 4).
        names: N names; equal names share a colour.
        scores: N scores, or None.
        masks: (N, H, W) bool, or None.
        min_side: The picture is enlarged until its longer side has so many
            pixels.
        order: Names by their colours, such as the whole vocabulary, so that
            a name looks alike in all pictures; by default as they come.
        with_legend: Whether the names stand below too, each with how often
            it was found.

    Returns:
        The picture, (H', W', 3) RGB.
    """
    height, width = image.shape[:2]
    zoom = max(1.0, min_side / max(height, width))
    size = round(width * zoom), round(height * zoom)
    picture = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    known = dict.fromkeys([*(order or ()), *names])
    colours = {name: colour_of(i).tolist() for i, name in enumerate(known)}
    if masks is not None:
        for mask, name in zip(masks, names):
            shown = cv2.resize(np.asarray(mask, np.uint8), size) > 0
            picture[shown] = (
                0.6 * picture[shown] + 0.4 * np.array(colours[name])
            ).astype(np.uint8)
    for i, (box, name) in enumerate(zip(boxes, names)):
        label = name if scores is None else f'{name} {float(scores[i]):.2f}'
        _draw_box(picture, np.asarray(box) * zoom, label, colours[name])
    if not with_legend or not len(names):
        return picture
    counts = Counter(names)
    lines = [f'{name} ({count})' for name, count in counts.most_common()]
    tints = [np.array(colours[name]) for name, _ in counts.most_common()]
    return np.concatenate([picture, legend(lines, tints, size)])


def _draw_box(picture, box, label: str, colour) -> None:
    left, top, right, bottom = (int(round(float(v))) for v in box)
    cv2.rectangle(picture, (left, top), (right, bottom), colour, 2)
    (width, height), base = cv2.getTextSize(
        label, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1
    )
    left = max(0, min(left, picture.shape[1] - width))
    top = max(height + base, top)
    cv2.rectangle(
        picture, (left, top - height - base), (left + width, top), colour, -1
    )
    cv2.putText(
        picture,
        label,
        (left, top - base // 2 - 1),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.45,
        ink_on(colour),
        1,
        cv2.LINE_AA,
    )


def ink_on(colour) -> tuple[int, int, int]:
    """Return black or white, whichever is read better on an RGB colour."""
    light = np.dot(colour, (0.299, 0.587, 0.114))
    return (0, 0, 0) if light > 130 else (255, 255, 255)


def draw_sample(
    inputs, truth, found, classes, score_thr: float, min_side: int = 512
) -> np.ndarray:
    """Draw the truth on the left and what was found on the right.

    Args:
        inputs: (3, H, W) uint8 BGR network input, before normalisation.
        truth: mmdet data sample with ``gt_instances``, if it has any: in
            pixels of the original image, as mmdet's test pipelines leave them
            (``LoadAnnotations`` after ``Resize``).
        found: The same image's data sample with ``pred_instances`` in
            original pixels.
        classes: Names of the labels.
        score_thr: Least score drawn.
        min_side: As in :func:`draw_detections`.
    """
    if 'pred_sem_seg' in found:
        return draw_maps(inputs, truth, found, classes, min_side)
    height, width = found.img_shape
    image = np.ascontiguousarray(
        inputs[[2, 1, 0], :height, :width].permute(1, 2, 0).cpu().numpy()
    )
    pred = found.pred_instances.cpu().numpy()
    pred = pred[pred.scores >= score_thr]
    zoom = np.tile(found.get('scale_factor', (1.0, 1.0)), 2)
    masks = pred.masks if 'masks' in pred and len(pred) else None
    names = (
        list(pred.label_names)
        if 'label_names' in pred
        else [classes[label] for label in pred.labels]
    )
    right = draw_detections(
        image, pred.bboxes * zoom, names, pred.scores, masks, min_side
    )
    if 'gt_instances' not in truth or 'bboxes' not in truth.gt_instances:
        return right
    boxes = truth.gt_instances.bboxes
    boxes = getattr(boxes, 'tensor', boxes).cpu().numpy()
    left = draw_detections(
        image,
        boxes * zoom,
        [classes[i] for i in truth.gt_instances.labels.tolist()],
        min_side=min_side,
    )
    return np.concatenate([left, right], axis=1)


def draw_maps(inputs, truth, found, classes, min_side: int) -> np.ndarray:
    """Draw semantic maps, the truth on the left; see :func:`draw_sample`."""
    label = found.pred_sem_seg.data.squeeze().cpu().numpy()
    image = inputs[[2, 1, 0]].permute(1, 2, 0).cpu().numpy()
    image = np.ascontiguousarray(image[..., :3], np.uint8)
    names = found.get('label_names', classes)
    if 'gt_sem_seg' not in truth:
        return draw_segmentation(image, label, names, min_side)
    true = truth.gt_sem_seg.data.squeeze().cpu().numpy()
    both = [*seen_names(true, classes), *seen_names(label, names)]
    order = list(dict.fromkeys(both))  # one colour a name on both sides
    left = draw_segmentation(image, true, classes, min_side, order)
    right = draw_segmentation(image, label, names, min_side, order)
    high = max(len(left), len(right))
    return np.concatenate(
        [
            np.pad(side, ((0, high - len(side)), (0, 0), (0, 0)))
            for side in (left, right)
        ],
        axis=1,
    )


def draw_segmentation(
    image: np.ndarray,
    label: np.ndarray,
    names,
    min_side: int = 0,
    order=None,
) -> np.ndarray:
    """Tint an image by its semantic map, with a legend below.

    Args:
        image: (H, W, 3) RGB.
        label: Indices of ``names``, (h, w); others, such as 255, are not
            tinted. A name 'background' is not tinted either.
        names: What the labels mean.
        min_side: The picture is enlarged until its longer side has so many
            pixels.
        order: Names by their colours; by default those seen, the largest
            first.

    Returns:
        The picture, (H' + legend, W', 3) RGB.
    """
    height, width = image.shape[:2]
    zoom = max(1.0, min_side / max(height, width))
    size = round(width * zoom), round(height * zoom)
    picture = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(
        np.asarray(label, np.int32), size, interpolation=cv2.INTER_NEAREST
    )
    shown = seen_names(label, names)
    order = order or shown
    colours = [colour_of(order.index(n)) for n in shown]
    for name, colour in zip(shown, colours):
        mask = label == list(names).index(name)
        tint = 0.5 * picture[mask] + 0.5 * colour
        picture[mask] = tint.astype(np.uint8)
        edge = cv2.Canny(mask.astype(np.uint8) * 255, 50, 150) > 0
        picture[edge] = colour
    return np.concatenate([picture, legend(shown, colours, size)])


def seen_names(label: np.ndarray, names) -> list[str]:
    """Return the names that a map shows, the largest first."""
    counts = {
        names[k]: int((label == k).sum())
        for k in np.unique(label).tolist()
        if 0 <= k < len(names) and names[k] != 'background'
    }
    return sorted(counts, key=counts.get, reverse=True)


def legend(names, colours, size, line: int = 20, most: int = 24) -> np.ndarray:
    """Write ``names`` in their colours, two columns, as wide as ``size``."""
    shown = list(names[:most])
    if len(names) > most:
        shown[-1] = f'and {len(names) - most + 1} more'
    rows = max(4, -(-len(shown) // 2))
    field = np.full((line * rows, size[0], 3), 255, np.uint8)
    for i, name in enumerate(shown):
        x, y = (i % 2) * (size[0] // 2), (i // 2 + 1) * line
        corners = (x + 3, y - 14), (x + 15, y - 4)
        cv2.rectangle(field, *corners, colours[i].tolist(), -1)
        cv2.putText(
            field,
            name,
            (x + 20, y - 5),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.45,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
    return field


def save_picture(path, picture: np.ndarray) -> None:
    """Write a picture, whole or not at all; the folder is made.

    Args:
        path: The file; its ending says the format.
        picture: RGB (H, W, 3), or a map (H, W) of uint8 or uint16.

    Raises:
        OSError: The picture cannot be written there.
    """
    path = Path(path)
    if picture.ndim == 3:
        picture = picture[..., ::-1]
    ok, data = cv2.imencode(path.suffix or '.png', picture)
    if not ok:
        raise OSError(f'{path}: cannot write a picture of this type')
    write_whole(path, lambda partial: partial.write_bytes(data.tobytes()))
