"""The formats that the shapes world is written in, item by item.

A view draws item ``index`` of an order as files and a record, and closes with
annotation files made of all records. ``shapes_export`` runs them.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mmclip.data.shapes import SPLITS, Scene, concepts, draw_crowd, draw_scene
from mmclip.data.shapes_captions import pair
from mmclip.data.shapes_concepts import describe_classes
from mmclip.data.shapes_files import png_bytes
from mmclip.data.shapes_photos import draw_photo
from mmclip.data.shapes_views import (
    coco_shape,
    odvg_detection,
    odvg_grounding,
    semantic_map,
)


@dataclass(frozen=True)
class Order:
    """Say what an export holds; every field decides over its bytes.

    Raises:
        ValueError: A field does not fit the view, or another field.
    """

    view: str
    num_images: int
    seed: int
    size: int
    objects_of: tuple[str, ...]
    classes_of: tuple[str, ...]
    vocabulary: str
    crowded: bool
    num_val: int
    shard: int

    def __post_init__(self):
        if self.num_images < 1 or self.num_val < 0 or self.shard < 1:
            raise ValueError(
                f'got {self.num_images} images, {self.num_val} of validation '
                f'and {self.shard} a shard: expected 1, 0 and 1 at least'
            )
        if missing := set(self.objects_of) - set(self.classes_of):
            raise ValueError(
                f'objects_of draws {sorted(missing)}, which classes_of='
                f'{self.classes_of} does not name: add them to classes_of'
            )
        if self.num_val and self.view != 'ade':
            raise ValueError(
                f"num_val is for the view 'ade', got '{self.view}': export "
                'another folder with another seed for validation'
            )
        if self.crowded and not VIEWS[self.view].crowds:
            able = [name for name, view in VIEWS.items() if view.crowds]
            raise ValueError(
                f"the view '{self.view}' has no crowded scenes: choose from "
                f'{able}'
            )
        if self.view == 'ade' and len(self.names) > 254:
            raise ValueError(
                f'got {len(self.names)} names, but a semantic map holds 254 '
                "at most: choose vocabulary='shapes-80'"
            )

    @cached_property
    def among(self) -> tuple:
        """Return the concepts that are drawn."""
        return concepts(*self.objects_of, vocabulary=self.vocabulary)

    @cached_property
    def names(self) -> list[str]:
        """Return the names of the classes, in order."""
        listed = concepts(*self.classes_of, vocabulary=self.vocabulary)
        return [concept.name for concept in listed]

    def draw(self, seed: int, index: int, among=None) -> Scene:
        """Draw scene ``index`` of ``seed``."""
        draw = draw_crowd if self.crowded else draw_scene
        return draw((seed, index), self.size, among or self.among)


class Item(NamedTuple):
    """Files of an item, and what the annotation files need to know of it."""

    files: dict[str, bytes]
    record: dict


class View(NamedTuple):
    """Say how a view is drawn and closed, and what it is by default.

    Attributes:
        item: Draws item ``index`` of an order.
        close: Makes the annotation files from the order and all records.
        target: The annotation file that is written last.
        size: Side of an image in pixels.
        objects_of: Splits that are drawn.
        classes_of: Splits that are named; None for those that are drawn.
        vocabulary: As in ``concepts``.
        crowds: Whether it can show crowded scenes.
        packed: Whether its items go into tar files.
    """

    item: Callable[[Order, int], Item]
    close: Callable[[Order, Iterable[dict]], dict[str, bytes]]
    target: str
    size: int = 128
    objects_of: tuple[str, ...] = ('base',)
    classes_of: tuple[str, ...] | None = None
    vocabulary: str = 'shapes-80'
    crowds: bool = False
    packed: bool = False


# ---- COCO ----


def coco_item(order: Order, index: int) -> Item:
    """Return an image and its COCO entries."""
    scene, name = order.draw(order.seed, index), f'{index:06d}.png'
    size = order.size
    entries = [
        dict(
            image_id=index,
            iscrowd=0,
            category_id=order.names.index(entry.concept.name) + 1,
            **coco_shape(entry),
        )
        for entry in scene.objects
    ]
    image = dict(id=index, file_name=name, width=size, height=size)
    files = {f'images/{name}': png_bytes(scene.image)}
    return Item(files, dict(image=image, annotations=entries))


def coco_close(order: Order, records: Iterable[dict]) -> dict[str, bytes]:
    """Return the annotation file; categories have ids from 1."""
    images, annotations = [], []
    for record in records:
        images.append(record['image'])
        for entry in record['annotations']:
            annotations.append(dict(id=len(annotations) + 1, **entry))
    content = dict(
        images=images,
        annotations=annotations,
        categories=[
            dict(id=k, name=name) for k, name in enumerate(order.names, 1)
        ],
    )
    return {'annotations.json': to_json(content)}


# ---- semantic maps ----


def ade_item(order: Order, index: int) -> Item:
    """Return an image and its map, of training or, from there, validation.

    Validation has the next seed, and objects of all classes.
    """
    seed, subset, among = order.seed, 'training', order.among
    if index >= order.num_images:
        index, seed, subset = index - order.num_images, seed + 1, 'validation'
        among = concepts(*order.classes_of, vocabulary=order.vocabulary)
    scene, name = order.draw(seed, index, among), f'{subset}/{index:06d}.png'
    files = {
        f'images/{name}': png_bytes(scene.image),
        f'annotations/{name}': png_bytes(semantic_map(scene, order.names)),
    }
    return Item(files, {})


def ade_close(order: Order, records: Iterable[dict]) -> dict[str, bytes]:
    """Return the file of names; its keys are those of ``metainfo``."""
    info = describe_classes(order.classes_of, order.vocabulary)
    info.update(reduce_zero_label=True, ignore_index=255)
    return {'meta.json': to_json(info)}


# ---- captions, phrases, boxes ----


def odvg_item(order: Order, index: int) -> Item:
    """Return an image and its lines of both ODVG files."""
    scene, name = order.draw(order.seed, index), f'{index:06d}.png'
    head = dict(filename=name, height=order.size, width=order.size)
    record = dict(
        detection=head | dict(detection=odvg_detection(scene, order.names)),
        grounding=head | dict(grounding=odvg_grounding(scene)),
    )
    return Item({f'images/{name}': png_bytes(scene.image)}, record)


def odvg_close(order: Order, records: Iterable[dict]) -> dict[str, bytes]:
    """Return the names by label, and a file for either form."""
    records = list(records)
    return {
        'label_map.json': to_json({k: n for k, n in enumerate(order.names)}),
        'grounding.jsonl': to_lines(r['grounding'] for r in records),
        'detection.jsonl': to_lines(r['detection'] for r in records),
    }


# ---- images and texts ----


def texts_of(order: Order, index: int) -> tuple[bytes, dict]:
    """Return a pair's image as PNG, its caption and what both say."""
    drawn = pair(order.seed, index, order.size, order.among)
    said = dict(
        caption=drawn.caption,
        told=sorted(drawn.told),
        true=sorted(drawn.true),
    )
    return png_bytes(drawn.image), said


def pairs_item(order: Order, index: int) -> Item:
    """Return an image and its line."""
    image, said = texts_of(order, index)
    name = f'images/{index:06d}.png'
    return Item({name: image}, dict(image=name, **said))


def pairs_close(order: Order, records: Iterable[dict]) -> dict[str, bytes]:
    """Return the file of captions."""
    return {'pairs.jsonl': to_lines(records)}


def webdataset_item(order: Order, index: int) -> Item:
    """Return the three members of a pair."""
    image, said = texts_of(order, index)
    key = f'{index:08d}'
    files = {
        f'{key}.png': image,
        f'{key}.txt': said['caption'].encode(),
        f'{key}.json': to_json(said),
    }
    return Item(files, dict(shard=shard_name(order, index)))


def webdataset_close(order: Order, records: Iterable[dict]):
    """Return how many pairs each shard holds."""
    sizes = {}
    for record in records:
        sizes[record['shard']] = sizes.get(record['shard'], 0) + 1
    return {'sizes.json': to_json(sizes)}


def shard_name(order: Order, index: int) -> str:
    """Return the tar file that item ``index`` goes into."""
    return f'shapes-{index // order.shard:06d}.tar'


# ---- photographs ----


def photos_item(order: Order, index: int) -> Item:
    """Return a picture, its matte and what it shows."""
    photo = draw_photo((order.seed, index), order.size, order.among)
    name = f'{index:06d}'
    files = {
        f'{name}.png': png_bytes(photo.image),
        f'{name}_mask.png': png_bytes(photo.alpha),
    }
    objects = [
        dict(name=entry.concept.name, bbox=list(entry.box))
        for entry in photo.objects
    ]
    names = dict(image=f'{name}.png', mask=f'{name}_mask.png')
    return Item(files, dict(names, objects=objects))


def photos_close(order: Order, records: Iterable[dict]) -> dict[str, bytes]:
    """Return the file of what the pictures show."""
    return {'photos.jsonl': to_lines(records)}


def to_json(content) -> bytes:
    """Return a JSON file."""
    return (json.dumps(content) + '\n').encode()


def to_lines(records: Iterable[dict]) -> bytes:
    """Return a file with a JSON object a line."""
    return b''.join(map(to_json, records))


SEEN = ('base', 'novel')  # what a CLIP may see
VIEWS = {
    'coco': View(
        coco_item,
        coco_close,
        'annotations.json',
        classes_of=SPLITS,
        crowds=True,
    ),
    'ade': View(
        ade_item, ade_close, 'meta.json', classes_of=SPLITS, crowds=True
    ),
    'odvg': View(odvg_item, odvg_close, 'detection.jsonl', crowds=True),
    'pairs': View(
        pairs_item,
        pairs_close,
        'pairs.jsonl',
        objects_of=SEEN,
        vocabulary='all',
    ),
    'webdataset': View(
        webdataset_item,
        webdataset_close,
        'sizes.json',
        objects_of=SEEN,
        vocabulary='all',
        packed=True,
    ),
    'photos': View(
        photos_item,
        photos_close,
        'photos.jsonl',
        size=224,
        objects_of=SEEN,
        vocabulary='all',
    ),
}
