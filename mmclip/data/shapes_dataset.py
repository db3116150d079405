"""The shapes world as a detection dataset that is drawn, never read.

It needs mmengine alone and serves mmdet's pipelines from the second step on:
``LoadAnnotations``, resizing, ``PackDetInputs``, and ``CocoMetric`` without
an annotation file.
"""

from collections.abc import Sequence
from dataclasses import replace

from mmengine.dataset import BaseDataset

from mmclip.data.shapes import SPLITS, SceneObject, concepts, draw_scene
from mmclip.data.shapes_captions import captions
from mmclip.data.shapes_concepts import COLOURS
from mmclip.data.shapes_views import coco_shape
from mmclip.registry import DATASETS


@DATASETS.register_module()
class ShapesDataset(BaseDataset):
    """Draw scene ``i`` from ``(seed, i)`` with boxes, masks and labels.

    The pipeline starts after the image's loading: ``img`` is there, BGR as
    mmdet's loader gives it. ``CocoMetric(ann_file=None)`` wants ``instances``
    among the ``meta_keys`` of ``PackDetInputs``. There is no file behind
    ``img_path``, so hooks that read the image again (``DetVisualizationHook``)
    cannot draw; ``export_coco`` writes a folder for those.

    Args:
        num_images: How many scenes there are.
        seed: Choose another one for another split: equal seeds draw equal
            scenes.
        size: Side of the image in pixels.
        objects_of: Splits whose concepts are drawn, and hence boxed.
        unlabelled_of: Further splits that are drawn but neither boxed nor
            captioned, as unlabelled objects stand in the pictures of LVIS.
        classes_of: Splits whose names are the classes, in this order.
        vocabulary: ``shapes-80`` (48 base, 17 novel, 15 unseen) or ``all``.
        objects: Fewest and most objects of a scene.
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
        self.labelled = concepts(*objects_of, vocabulary=vocabulary)
        self.among = concepts(
            *objects_of, *unlabelled_of, vocabulary=vocabulary
        )
        metainfo = describe_classes(classes_of, vocabulary)
        self.label = {n: k for k, n in enumerate(metainfo['classes'])}
        drawn = [step for step in pipeline if not is_loader(step)]
        super().__init__(metainfo=metainfo, pipeline=drawn, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the scenes; nothing is drawn yet."""
        return [
            dict(img_id=i, img_path=f'shapes/{self.seed}/{i}.png')
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
        seed = (self.seed, info['img_id'])
        scene = draw_scene(seed, self.size, self.among, self.objects)
        shown = [o for o in scene.objects if o.concept in self.labelled]
        scene = replace(scene, objects=tuple(shown))
        sides = (self.size, self.size)
        info.update(
            img=scene.image[..., ::-1].copy(),
            img_shape=sides,
            ori_shape=sides,
            height=self.size,
            width=self.size,
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


def is_loader(step) -> bool:
    """Tell whether a step of a pipeline reads the image from a file."""
    return isinstance(step, dict) and step['type'] == 'LoadImageFromFile'


def describe_classes(splits: Sequence[str], vocabulary: str) -> dict:
    """Return the classes of some splits and who of them is what.

    Returns:
        ``classes``, ``palette`` (RGB), and ``base_classes``,
        ``novel_classes``, ``unseen_classes``: names, empty for a split that
        is not among ``splits``.
    """
    listed = concepts(*splits, vocabulary=vocabulary)
    named = {
        f'{split}_classes': tuple(c.name for c in listed if c.split == split)
        for split in SPLITS
    }
    return dict(
        classes=tuple(c.name for c in listed),
        **named,
        palette=[COLOURS[c.colour] for c in listed],
    )
