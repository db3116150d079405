"""COCO-format datasets that train on base classes and test on all.

``metainfo`` tells which classes are base and which novel, by name and by
position in ``classes``; heads, metrics and the vocabulary hook read it there.
"""

import os.path as osp

from mmdet.datasets import CocoDataset
from mmengine.fileio import get_local_path

from mmclip.data.ov_classes import FREQUENCY, class_names
from mmclip.registry import DATASETS


@DATASETS.register_module()
class OVCocoDataset(CocoDataset):
    """COCO annotations of any classes, split into base and novel ones.

    A box of a class that is not read is as if it were not in the file: an
    image with no other box has none, and ``filter_cfg.filter_empty_gt``
    leaves it out. Crowds are read with ``ignore_flag`` 1.

    Args:
        base_classes: Names with labels in training, or the name of a set
            (``'coco-base-48'``; see :mod:`mmclip.data.ov_classes`).
        novel_classes: Names that only the test knows; ``'coco-novel-17'``.
        classes_of: The groups whose annotations are read: ``('base', )``
            for training. Annotations of other classes are left out.
        **kwargs: As for mmdet's CocoDataset.

    Raises:
        ValueError: The annotation file knows none of the classes wanted, or
            a class is both base and novel.
    """

    def __init__(
        self,
        *args,
        base_classes,
        novel_classes=(),
        classes_of=('base', 'novel'),
        **kwargs,
    ):
        groups = dict(
            base=class_names(base_classes), novel=class_names(novel_classes)
        )
        both = set(groups['base']) & set(groups['novel'])
        if both:
            raise ValueError(f'classes cannot be base and novel: {both}')
        classes = tuple(name for group in classes_of for name in groups[group])
        kwargs['metainfo'] = dict(
            kwargs.get('metainfo') or {},
            classes=classes,
            base_classes=groups['base'],
            novel_classes=groups['novel'],
            **positions(classes, groups),
        )
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotations of the wanted classes.

        mmdet pairs its classes with the categories in the order of the file;
        here a label is the position of the class in ``classes``.

        Raises:
            ValueError: The file lacks one of the classes.
        """
        with get_local_path(
            self.ann_file, backend_args=self.backend_args
        ) as path:
            self.coco = self.COCOAPI(path)
        self.cat_ids = self.select_categories(self.coco.dataset['categories'])
        self.cat2label = {cat: i for i, cat in enumerate(self.cat_ids)}
        self.cat_img_map = self.coco.cat_img_map  # a class may have no image
        records = [
            self.read_record(img_id) for img_id in self.coco.get_img_ids()
        ]
        del self.coco
        return records

    def filter_data(self) -> list[dict]:
        """Leave out what ``filter_cfg`` says.

        Raises:
            ValueError: No image is left.
        """
        kept = super().filter_data()
        if self.data_list and not kept:
            raise ValueError(
                f'filter_cfg leaves none of {len(self.data_list)} images of '
                f'{self.ann_file}: none is large enough and has a box of the '
                f'{len(self.cat_ids)} classes read; are all its boxes novel?'
            )
        return kept

    def read_record(self, img_id: int) -> dict:
        """Return one image's data info."""
        image = dict(self.coco.load_imgs([img_id])[0], img_id=img_id)
        if 'file_name' not in image:  # LVIS v1: folder and file of the URL
            image['file_name'] = '/'.join(image['coco_url'].split('/')[-2:])
        annotations = self.coco.load_anns(
            self.coco.get_ann_ids(img_ids=[img_id])
        )
        return self.parse_data_info(
            dict(raw_ann_info=annotations, raw_img_info=image)
        )

    def select_categories(self, categories: list[dict]) -> list[int]:
        """Return the id of each of ``classes``."""
        ids = {c['name']: c['id'] for c in categories}
        absent = [n for n in self.metainfo['classes'] if n not in ids]
        if absent:
            raise ValueError(
                f'{self.ann_file} lacks {len(absent)} of the '
                f'{len(self.metainfo["classes"])} classes, such as '
                f'{absent[:3]}; it has {list(ids)[:5]}: check base_classes '
                'and novel_classes'
            )
        return [ids[name] for name in self.metainfo['classes']]


@DATASETS.register_module()
class OVLVISV1Dataset(OVCocoDataset):
    """LVIS v1: frequent and common classes are base, rare ones novel.

    The frequency letter of the annotation file decides, and categories are
    told apart by id. Source: ViLD section 4.1 (866 base, 337 novel).

    Args:
        classes_of: As for :class:`OVCocoDataset`.
        **kwargs: As for mmdet's CocoDataset.

    Raises:
        ValueError: The categories have no ``frequency``.
    """

    METAINFO = {'classes': (), 'palette': None}

    def __init__(self, *args, classes_of=('base', 'novel'), **kwargs):
        self.classes_of = tuple(classes_of)
        super().__init__(*args, base_classes=(), **kwargs)

    def select_categories(self, categories: list[dict]) -> list[int]:
        """Return the ids of the wanted groups; names follow from them."""
        info = split_by_frequency(categories, self.classes_of, self.ann_file)
        self._metainfo.update(info)
        return list(info['category_ids'])


def split_by_frequency(categories: list[dict], classes_of, source: str):
    """Return metainfo of LVIS categories: names and ids by group.

    Raises:
        ValueError: A category has no frequency letter.
    """
    categories = sorted(categories, key=lambda c: c['id'])
    if any(c.get('frequency') not in FREQUENCY for c in categories):
        raise ValueError(
            f'{osp.basename(source)} has categories without a frequency '
            "letter (r, c or f): take LVIS v1's own annotation file"
        )
    group = {c['id']: FREQUENCY[c['frequency']] for c in categories}
    kept = [c for c in categories if group[c['id']] in classes_of]
    info = dict(
        classes=tuple(c['name'] for c in kept),
        category_ids=tuple(c['id'] for c in kept),
    )
    for name in ('base', 'novel'):
        info[f'{name}_classes'] = tuple(
            c['name'] for c in categories if group[c['id']] == name
        )
        info[f'{name}_indices'] = tuple(
            i for i, c in enumerate(kept) if group[c['id']] == name
        )
    return info


def positions(classes: tuple, groups: dict) -> dict[str, tuple[int, ...]]:
    """Return where the names of each group stand in ``classes``."""
    return {
        f'{group}_indices': tuple(
            i for i, name in enumerate(classes) if name in set(names)
        )
        for group, names in groups.items()
    }
