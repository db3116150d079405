"""Write what was found in the formats that others read, image by image.

COCO results (with the data set they belong to), LabelMe's JSON files, and the
lines of mmdet's ``ODVGDataset``. Boxes are xyxy pixels of the image.
"""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from mmclip.files import write_whole

LABELME = '5.0.1'  # the version whose keys are written


class JsonStream:
    """Write a JSON file item by item, whole or not at all.

    What is written is kept aside, beyond 1 MB on disk, so memory does not
    grow.

    Args:
        path: The file.
        ends: What stands before and behind the items; ``''`` and ``''`` for
            one item a line.
    """

    def __init__(self, path: Path, ends: tuple[str, str] = ('[', ']')) -> None:
        self.path, self.ends = Path(path), ends
        self.empty = True
        self.aside = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            1 << 20, 'w+', encoding='utf8'
        )

    def add(self, item, key: str | None = None) -> None:
        """Add an item; under a key where the file is a dict."""
        text = json.dumps(item, ensure_ascii=False)
        if key is not None:
            text = f'{json.dumps(key, ensure_ascii=False)}: {text}'
        comma = ',' if self.ends[0] else ''
        self.aside.write(text if self.empty else f'{comma}\n{text}')
        self.empty = False

    def close(self) -> None:
        """Put the file in its place."""
        write_whole(self.path, self.copy_to)
        self.aside.close()

    def copy_to(self, path: Path) -> None:
        """Write all that was added to a file."""
        self.aside.seek(0)
        with path.open('w', encoding='utf8') as file:
            file.write(self.ends[0])
            while block := self.aside.read(1 << 20):
                file.write(block)
            file.write(f'{self.ends[1]}\n')


class Numbering(dict):
    """Number names as they come, from ``first`` on."""

    def __init__(self, names: Iterable[str] = (), first: int = 0) -> None:
        super().__init__()
        self.first = first
        for name in names:
            self[name]

    def __missing__(self, name: str) -> int:
        self[name] = len(self) + self.first
        return self[name]


class PlainWriter:
    """``detections.json``: of each image its labels, scores and boxes."""

    def __init__(self, out: Path, names: Iterable[str] = ()) -> None:
        self.file = JsonStream(out / 'detections.json', ('{', '}'))

    def add(self, path: Path, stem: str, image, found: dict) -> None:
        """Add what was found in an image (H, W, 3)."""
        said = {k: found[k] for k in ('labels', 'caption') if k in found}
        arrays = {k: found[k].tolist() for k in ('scores', 'boxes')}
        self.file.add(said | arrays, str(path))

    def close(self) -> None:
        """Write what is still to write."""
        self.file.close()


class CocoWriter:
    """``coco_results.json``, and ``coco_dataset.json``, which explains it.

    The latter has the images and categories whose ids the results use, and
    no annotations: ``COCO('coco_dataset.json').loadRes('coco_results.json')``.
    Ids count from 1; names that were asked for come first, in their order.
    """

    def __init__(self, out: Path, names: Iterable[str] = ()) -> None:
        self.categories = Numbering(names, first=1)
        self.results = JsonStream(out / 'coco_results.json')
        self.images = JsonStream(out / 'coco_dataset.json', ('', ''))
        self.images.ends = ('{"annotations": [], "images": [', ']')
        self.count = 0

    def add(self, path: Path, stem: str, image, found: dict) -> None:
        """Add what was found in an image (H, W, 3)."""
        self.count += 1
        height, width = image.shape[:2]
        size = dict(height=height, width=width)
        self.images.add(dict(id=self.count, file_name=str(path), **size))
        masks = found.get('masks', [None] * len(found['labels']))
        for label, score, box, mask in zip(
            found['labels'], found['scores'], found['boxes'], masks
        ):
            result = dict(
                image_id=self.count,
                category_id=self.categories[label],
                bbox=xywh(box),
                score=round(float(score), 6),
            )
            if mask is not None:
                result['segmentation'] = run_lengths(mask)
            self.results.add(result)

    def close(self) -> None:
        """Write what is still to write."""
        listed = [dict(id=k, name=name) for name, k in self.categories.items()]
        text = json.dumps(listed, ensure_ascii=False)
        self.images.ends = (self.images.ends[0], f'], "categories": {text}}}')
        self.images.close()
        self.results.close()


class LabelMeWriter:
    """``labelme/NAME.json``: outlines where there are masks, else boxes.

    Each names its image by the path from its own folder.
    """

    def __init__(self, out: Path, names: Iterable[str] = ()) -> None:
        self.folder = out / 'labelme'

    def add(self, path: Path, stem: str, image, found: dict) -> None:
        """Add what was found in an image (H, W, 3)."""
        height, width = image.shape[:2]
        masks = found.get('masks', [None] * len(found['labels']))
        shapes = [
            labelme_shape(*each, number)
            for number, each in enumerate(
                zip(found['labels'], found['scores'], found['boxes'], masks)
            )
        ]
        content = dict(
            version=LABELME,
            flags={},
            shapes=[shape for each in shapes for shape in each],
            imagePath=os.path.relpath(path, self.folder),
            imageData=None,
            imageHeight=height,
            imageWidth=width,
        )
        file = JsonStream(self.folder / f'{stem}.json', ('', ''))
        file.add(content)
        file.close()

    def close(self) -> None:
        """Write what is still to write: nothing."""


class OdvgWriter:
    """``odvg.jsonl`` for mmdet's ODVGDataset, and ``label_map.json`` of names.

    Names become detection lines, a caption's phrases grounding lines.
    """

    def __init__(self, out: Path, names: Iterable[str] = ()) -> None:
        self.out = out
        self.numbers = Numbering(names)
        self.file = JsonStream(out / 'odvg.jsonl', ('', ''))

    def add(self, path: Path, stem: str, image, found: dict) -> None:
        """Add what was found in an image (H, W, 3)."""
        height, width = image.shape[:2]
        line = dict(filename=str(path), height=height, width=width)
        if 'caption' in found:
            line['grounding'] = dict(
                caption=found['caption'], regions=regions(found)
            )
        else:
            line['detection'] = dict(instances=self.instances(found))
        self.file.add(line)

    def instances(self, found: dict) -> list[dict]:
        """Return the boxes of an image as ODVG says them."""
        return [
            dict(bbox=rounded(box), label=self.numbers[name], category=name)
            for name, box in zip(found['labels'], found['boxes'])
        ]

    def close(self) -> None:
        """Write what is still to write."""
        self.file.close()
        if self.numbers:
            listed = {str(k): name for name, k in self.numbers.items()}
            text = json.dumps(listed, indent=1, ensure_ascii=False)
            write_whole(
                self.out / 'label_map.json',
                lambda partial: partial.write_text(text, 'utf8'),
            )


WRITERS = dict(
    json=PlainWriter,
    coco=CocoWriter,
    labelme=LabelMeWriter,
    odvg=OdvgWriter,
)


def regions(found: dict) -> list[dict]:
    """Return a region for each phrase that was found, with all its boxes."""
    boxes: dict[str, list] = {}
    for name, box in zip(found['labels'], found['boxes']):
        boxes.setdefault(name, []).append(rounded(box))
    return [
        dict(bbox=boxes[phrase], phrase=phrase, tokens_positive=spans)
        for phrase, spans in found['phrases']
        if phrase in boxes
    ]


def labelme_shape(label: str, score, box, mask, number: int) -> list[dict]:
    """Return the shapes of one object: its outlines, or its box.

    Outlines of one object share a ``group_id``; holes are not kept.
    """
    kind, outlines = 'polygon', [] if mask is None else outlines_of(mask)
    if not outlines:
        left, top, right, bottom = rounded(box)
        kind, outlines = 'rectangle', [[[left, top], [right, bottom]]]
    return [
        dict(
            label=label,
            points=points,
            group_id=number if len(outlines) > 1 else None,
            description=f'score {float(score):.3f}',
            shape_type=kind,
            flags={},
        )
        for points in outlines
    ]


def outlines_of(mask: np.ndarray) -> list[list[list[float]]]:
    """Return the outlines of a mask (H, W), points (x, y)."""
    found, _ = cv2.findContours(
        np.asarray(mask, np.uint8),
        cv2.RETR_EXTERNAL,
        cv2.CHAIN_APPROX_SIMPLE,
    )
    return [
        each[:, 0].astype(float).tolist() for each in found if len(each) > 2
    ]


def run_lengths(mask: np.ndarray) -> dict:
    """Return a mask (H, W) in COCO's compressed run lengths."""
    from pycocotools import mask as coco_mask

    coded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    height, width = mask.shape
    return dict(size=[height, width], counts=coded['counts'].decode())


def rounded(box) -> list[float]:
    """Return the four numbers of a box."""
    return [round(float(value), 3) for value in box]


def xywh(box) -> list[float]:
    """Return left, top, width and height of an xyxy box."""
    left, top, right, bottom = (float(value) for value in box)
    return rounded((left, top, right - left, bottom - top))
