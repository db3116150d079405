"""The shapes world as datasets that are drawn, never read.

They need mmengine alone and serve mmdet's and mmseg's pipelines from the
second step on: ``LoadAnnotations``, resizing, packing, and ``CocoMetric``
without an annotation file.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from mmengine.dataset import BaseDataset

from mmclip.data.shapes import (
    SPLITS,
    Scene,
    SceneObject,
    concepts,
    draw_scene,
)
from mmclip.data.shapes_captions import captions, listing, with_article
from mmclip.data.shapes_concepts import describe_classes
from mmclip.data.shapes_views import coco_shape, semantic_map
from mmclip.registry import DATASETS

RADIUS = (0.085, 0.215)  # draw_scene's own


@DATASETS.register_module()
class ShapesDataset(BaseDataset):
    """Draw scene ``i`` from ``(seed, i)`` with boxes, masks and labels.

    The pipeline starts after the image's loading: ``img`` is there, BGR as
    mmdet's loader gives it. ``CocoMetric(ann_file=None)`` wants ``instances``
    among the ``meta_keys`` of ``PackDetInputs``. There is no file behind
    ``img_path``, so hooks that read the image again (``DetVisualizationHook``)
    cannot draw; ``mmclip shapes coco`` writes a folder for those.

    Args:
        num_images: How many scenes there are.
        seed: Choose another one for another split: equal seeds draw equal
            scenes.
        size: Side of the image in pixels.
        objects_of: Splits whose concepts are drawn, and hence boxed.
        unlabelled_of: Further splits that are drawn but neither boxed,
            masked nor captioned, as unlabelled objects stand in the pictures
            of LVIS.
        classes_of: Splits whose names are the classes, in this order.
        vocabulary: ``shapes-80`` (48 base, 17 novel, 15 unseen) or ``all``.
        objects: Fewest and most objects of a scene.
        radius: Least and largest bounding circle of an object, as part of
            ``size``.
        return_classes: Whether samples carry ``text`` (the classes), which
            open-vocabulary detectors of mmdet read.
        pipeline: Transforms. ``LoadImageFromFile`` is left out: it stands in
            a test pipeline for mmdet's inferencers.
        kwargs: Further arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        ValueError: ``objects_of`` holds a split that ``classes_of`` lacks.
    """

    METAINFO = dict(dataset_type='shapes')

    def __init__(
        self,
        num_images: int = 2000,
        seed: int = 0,
        size: int = 128,
        objects_of: Sequence[str] = ('base',),
        unlabelled_of: Sequence[str] = (),
        classes_of: Sequence[str] = SPLITS,
        vocabulary: str = 'shapes-80',
        objects: tuple[int, int] = (1, 6),
        radius: tuple[float, float] = RADIUS,
        return_classes: bool = False,
        pipeline: Sequence = (),
        **kwargs,
    ):
        if missing := set(objects_of) - set(classes_of):
            raise ValueError(
                f'objects_of draws {sorted(missing)}, which classes_of='
                f'{tuple(classes_of)} does not name: add them to classes_of'
            )
        self.num_images, self.seed, self.size = num_images, seed, size
        self.objects, self.return_classes = tuple(objects), return_classes
        self.radius = tuple(radius)
        self.labelled = concepts(*objects_of, vocabulary=vocabulary)
        drawn = dict.fromkeys((*objects_of, *unlabelled_of))
        self.among = concepts(*drawn, vocabulary=vocabulary)
        self.drawn = '-'.join([*drawn, vocabulary])
        metainfo = describe_classes(classes_of, vocabulary)
        self.label = {n: k for k, n in enumerate(metainfo['classes'])}
        steps = [step for step in pipeline if not is_loader(step)]
        super().__init__(metainfo=metainfo, pipeline=steps, **kwargs)

    def draw(self, idx: int) -> Scene:
        """Draw scene ``idx``; it lists the labelled objects alone."""
        scene = draw_scene(
            (self.seed, idx), self.size, self.among, self.objects, self.radius
        )
        listed = [o for o in scene.objects if o.concept in self.labelled]
        return replace(scene, objects=tuple(listed))

    def describe(self, scene: Scene) -> dict:
        """Return ``img`` uint8 BGR (S, S, 3) and its sizes."""
        sides = (self.size, self.size)
        return dict(
            img=scene.image[..., ::-1].copy(),
            img_shape=sides,
            ori_shape=sides,
            height=self.size,
            width=self.size,
        )

    def load_data_list(self) -> list[dict]:
        """List the scenes; nothing is drawn yet.

        ``img_path`` is no file but says all that the pixels follow from.
        """
        few, many = self.objects
        folder = f'shapes/{self.drawn}_{few}-{many}_{self.size}/{self.seed}'
        if self.radius != RADIUS:
            folder += '_r{:g}-{:g}'.format(*self.radius)
        return [
            dict(img_id=i, img_path=f'{folder}/{i}.png')
            for i in range(self.num_images)
        ]

    def get_data_info(self, idx: int) -> dict:
        """Draw one scene.

        Returns:
            ``img`` uint8 BGR (S, S, 3), its sizes, ``instances`` (bbox xyxy,
            bbox_label, mask as COCO run lengths, ignore_flag) and
            ``captions``.
        """
        info = super().get_data_info(idx)
        scene = self.draw(info['img_id'])
        info.update(
            self.describe(scene),
            captions=captions(scene),
            instances=[self._instance(o) for o in scene.objects],
        )
        if self.return_classes:
            info.update(text=self.metainfo['classes'], custom_entities=True)
        return info

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the labels in image ``idx``, as balancing wrappers ask."""
        return [i['bbox_label'] for i in self.get_data_info(idx)['instances']]

    def _instance(self, entry: SceneObject) -> dict:
        return dict(
            bbox=list(entry.box),
            ignore_flag=0,
            bbox_label=self.label[entry.concept.name],
            mask=coco_shape(entry)['segmentation'],
        )


@DATASETS.register_module()
class ShapesSegDataset(ShapesDataset):
    """Draw scene ``i`` from ``(seed, i)`` with its semantic map.

    For mmseg's pipelines. Their ``LoadAnnotations`` may stand where it does
    for files, before or behind a resizing; here it takes the drawn map. As
    ``objects_of`` is ``('base', )`` unless told otherwise, training scenes
    show no novel or unseen concept at all.

    Args:
        background: Name of the class of all that is no object, label 0 then;
            without one those pixels are 255, to be ignored (mmseg calls that
            ``reduce_zero_label``).
        captioned: Whether samples carry ``caption``, the names of their
            objects, instead of a map: each pixel is 255, to be ignored.
        pipeline: Transforms; see above.
        kwargs: Further arguments of :class:`ShapesDataset`.
    """

    def __init__(
        self,
        *args,
        background: str | None = None,
        captioned: bool = False,
        pipeline: Sequence = (),
        **kwargs,
    ):
        self.background, self.captioned = background, captioned
        pipeline = [
            take_map if is_step(step, 'LoadAnnotations') else step
            for step in pipeline
        ]
        super().__init__(*args, pipeline=pipeline, **kwargs)
        self.names = self._metainfo['classes']
        if background is not None:
            self._metainfo.update(
                classes=(background, *self.names),
                palette=[[0, 0, 0], *self._metainfo['palette']],
            )

    def get_data_info(self, idx: int) -> dict:
        """Draw one scene.

        Returns:
            ``img`` uint8 BGR (S, S, 3), its sizes, ``drawn_seg_map`` uint8
            (S, S) and the fields that mmseg's loading would set; with
            ``captioned`` also ``caption``.
        """
        info = BaseDataset.get_data_info(self, idx)
        scene = self.draw(info['img_id'])
        seen = semantic_map(scene, self.names)  # 0 is no object
        if self.captioned:
            said = [with_article(o.concept.name) for o in scene.objects]
            info.update(caption=listing(said))
            seen = np.full_like(seen, 255)
        elif self.background is None:
            seen = np.where(seen % 255 == 0, 255, seen - 1).astype(np.uint8)
        info.update(
            self.describe(scene),
            drawn_seg_map=seen,
            seg_map_path=info['img_path'],
            seg_fields=[],
            label_map=None,
            reduce_zero_label=self.background is None,
        )
        if self.return_classes:
            info.update(text=self.metainfo['classes'])
        return info

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the labels in image ``idx``."""
        found = np.unique(self.get_data_info(idx)['drawn_seg_map'])
        return [int(label) for label in found if label != 255]


def take_map(results: dict) -> dict:
    """Put the drawn map where mmseg's ``LoadAnnotations`` puts a read one."""
    results['gt_seg_map'] = results.pop('drawn_seg_map')
    results['seg_fields'].append('gt_seg_map')
    return results


def is_loader(step) -> bool:
    """Tell whether a step of a pipeline reads the image from a file."""
    return is_step(step, 'LoadImageFromFile')


def is_step(step, name: str) -> bool:
    """Tell whether a step of a pipeline is of this type, in any scope."""
    return isinstance(step, dict) and (
        step['type'].rpartition('.')[2] == name
        if isinstance(step['type'], str)
        else step['type'].__name__ == name
    )
