"""Draw what was found: boxes, masks and names of any vocabulary.

Images are uint8 (H, W, 3) RGB; boxes are xyxy pixels of the image drawn on.
"""

import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

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
    order=(),
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
            a name looks alike in all pictures; those it lacks follow.
        with_legend: Whether the names stand below too, each with how often
            it was found.

    Returns:
        The picture, (H', W', 3) RGB.
    """
    height, width = image.shape[:2]
    zoom = max(1.0, min_side / max(height, width))
    size = round(width * zoom), round(height * zoom)
    picture = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    colours = colours_of([*order, *names])
    if masks is not None:
        for mask, name in zip(masks, names):
            shown = cv2.resize(np.asarray(mask, np.uint8), size) > 0
            picture[shown] = (
                0.6 * picture[shown] + 0.4 * np.array(colours[name])
            ).astype(np.uint8)
    from_worst = range(len(names))
    if scores is not None:  # so that the best lie on top
        from_worst = np.argsort(scores, kind='stable')
    for i in from_worst:
        name, box = names[i], np.asarray(boxes[i]) * zoom
        label = name if scores is None else f'{name} {float(scores[i]):.2f}'
        _draw_box(picture, box, label, colours[name])
    if not with_legend or not len(names):
        return picture
    counts = Counter(names).most_common()
    lines = [f'{name} ({count})' for name, count in counts]
    tints = [np.array(colours[name]) for name, _ in counts]
    return np.concatenate([picture, legend(lines, tints, size)])


def colours_of(names) -> dict[str, list[int]]:
    """Return the colour of each name, by its first place."""
    return {
        name: colour_of(i).tolist()
        for i, name in enumerate(dict.fromkeys(names))
    }


def draw_found(
    image: np.ndarray, found: dict, min_side: int = 512, order=()
) -> np.ndarray:
    """Draw what a detector returned; below, a legend or the caption.

    Args:
        image: (H, W, 3) RGB.
        found: What :func:`mmclip.detect` returns.
        min_side: As in :func:`draw_detections`.
        order: Likewise; of a caption it is that of its phrases.

    Returns:
        The picture, (H' + what is below, W', 3) RGB. Phrases that were found
        have the colour of their boxes.
    """
    phrases = dict(found.get('phrases', ()))
    picture = draw_detections(
        image,
        found['boxes'],
        found['labels'],
        found['scores'],
        found.get('masks'),
        min_side,
        phrases or order,
        with_legend='caption' not in found,
    )
    if 'caption' not in found:
        return picture
    colours = colours_of(phrases)
    marks = [
        (span, colours[phrase])
        for phrase, spans in phrases.items()
        if phrase in found['labels']
        for span in spans
    ]
    words = caption_words(found['caption'], marks)
    return np.concatenate([picture, caption_field(words, picture.shape[1])])


def caption_words(caption: str, marks) -> list[tuple[str, list[int]]]:
    """Return the words of a caption with the colours of their spans."""
    words = []
    for match in re.finditer(r'\S+', caption):
        inside = [
            c for (a, b), c in marks if a < match.end() and match.start() < b
        ]
        words.append((match[0], inside[0] if inside else [0, 0, 0]))
    return words


def caption_field(words, width: int, line: int = 24) -> np.ndarray:
    """Write coloured words into lines of a width, uint8 (H, width, 3)."""
    font = cv2.FONT_HERSHEY_SIMPLEX, 0.55
    space = cv2.getTextSize(' ', *font, 2)[0][0]
    x, y, places = 4, line - 6, []
    for word, colour in words:
        long = cv2.getTextSize(word, *font, 2)[0][0]
        if x > 4 and x + long > width - 4:
            x, y = 4, y + line
        places.append((word, (x, y), colour))
        x += long + space
    field = np.full((y + 10, width, 3), 255, np.uint8)
    for word, place, colour in places:
        thick = 2 if any(colour) else 1
        cv2.putText(field, word, place, *font, colour, thick, cv2.LINE_AA)
    return field


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


def save_labels(path, labels: np.ndarray, names) -> None:
    """Write a label map as a PNG whose values are the labels.

    Up to 256 names it is an indexed image of 8 bits with the names' colours
    as palette, so that it can be looked at; beyond that 16 bits of grey.

    Args:
        path: The file.
        labels: Indices of ``names``, (H, W).
        names: K names.

    Raises:
        OSError: It cannot be written there.
    """
    if len(names) > 256:
        save_picture(path, labels.astype(np.uint16))
        return
    indexed = Image.fromarray(labels.astype(np.uint8), 'P')
    indexed.putpalette(b''.join(bytes(colour_of(k)) for k in range(256)))
    write_whole(path, lambda partial: indexed.save(partial, 'PNG'))
