"""PASCAL-5i, COCO-20i and FSS-1000 as zero-shot tasks of two names each.

An item is one image and one class; its map is 1 for the class and 0 for
'others', and its ``text`` is ``['others', name]``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset

from mmclip.lseg.folds import class_names, fold_classes, other_classes
from mmclip.registry import DATASETS

OTHERS = 'others'
IGNORED = 255


class ZeroShotDataset(BaseDataset):
    """Pairs of an image and a class that it shows.

    In testing, ``num_images`` items are taken in turn from the list, as the
    benchmarks' 1000 episodes without support images.

    Args:
        num_images: Items of a test; None takes each once.
        keep_ignored: Whether boundary pixels (255) stay ignored; LSeg counts
            them as others in training.
        pipeline: Transforms of mmseg. The map becomes that of the one class
            behind ``LoadAnnotations``.
        kwargs: Further arguments of ``mmengine.dataset.BaseDataset``.
    """

    def __init__(
        self,
        *args,
        num_images: int | None = None,
        keep_ignored: bool = True,
        pipeline: Sequence = (),
        **kwargs,
    ) -> None:
        self.num_images, self.keep_ignored = num_images, keep_ignored
        steps = []
        for step in pipeline:
            steps.append(step)
            kind = step['type'] if isinstance(step, dict) else step
            if str(kind).rpartition('.')[2] == 'LoadAnnotations':
                steps.append(self.take_class)
        super().__init__(*args, pipeline=steps, **kwargs)

    def pairs(self) -> Iterator[tuple[str, str, int]]:
        """Yield (image path, map path, class id)."""
        raise NotImplementedError

    def value_of(self, class_id: int) -> int:
        """Return the value that a class has in the maps."""
        return class_id + 1

    def load_data_list(self) -> list[dict]:
        """List the items.

        Raises:
            ValueError: There is none.
        """
        pairs = list(self.pairs())
        if not pairs:
            raise ValueError(
                f"'{self.ann_file}' lists no image of the classes "
                f'{self.metainfo["class_ids"]}: check fold and ann_file'
            )
        if self.num_images is not None:
            pairs = [pairs[k % len(pairs)] for k in range(self.num_images)]
        names = self.metainfo['class_names']
        return [
            dict(
                img_path=image,
                seg_map_path=label,
                class_id=class_id,
                text=[OTHERS, names[class_id]],
                seg_fields=[],
                label_map=None,
                reduce_zero_label=False,
            )
            for image, label, class_id in pairs
        ]

    def take_class(self, results: dict) -> dict:
        """Turn the map of all classes into that of the item's own."""
        seen = results['gt_seg_map']
        own = (seen == self.value_of(results['class_id'])).astype(np.uint8)
        if self.keep_ignored:
            own[seen == IGNORED] = IGNORED
        results['gt_seg_map'] = own
        return results


class FoldDataset(ZeroShotDataset):
    """Train on three folds of a benchmark, test on the fourth.

    Args:
        fold: The fold that is tested, 0 to 3.
        split: ``'train'`` (the other folds) or ``'test'``.
        ann_file: Lists that hold lines ``NAME__CC``, CC being the class id
            plus 1: one file for the split.
        data_prefix: Folders ``img_path`` and ``seg_map_path``.
        kwargs: Further arguments of :class:`ZeroShotDataset`.

    Raises:
        ValueError: The split is another, or a line is no such pair.
    """

    BENCHMARK = ''

    def __init__(
        self, fold: int, *args, split: str = 'test', **kwargs
    ) -> None:
        if split not in ('train', 'test'):
            raise ValueError(f"split='{split}': expected 'train' or 'test'")
        choose = fold_classes if split == 'test' else other_classes
        ids = choose(self.BENCHMARK, fold)
        names = class_names(self.BENCHMARK)
        metainfo = dict(
            classes=(OTHERS, *(names[k] for k in ids)),
            class_names=dict(enumerate(names)),
            class_ids=ids,
        )
        super().__init__(*args, metainfo=metainfo, **kwargs)

    def pairs(self) -> Iterator[tuple[str, str, int]]:
        """Read the list; images of other folds' classes are left out."""
        wanted = set(self.metainfo['class_ids'])
        folders = self.data_prefix
        for number, line in enumerate(read_lines(self.ann_file), start=1):
            name, mark, label = line.partition('__')
            if not mark or not label.isdigit() or int(label) < 1:
                raise ValueError(
                    f"'{self.ann_file}' line {number} is {line!r}: expected "
                    "NAME__CC, such as '2007_000032__01', with CC the class "
                    'counted from 1'
                )
            if int(label) - 1 in wanted:
                yield (
                    f'{folders["img_path"]}/{name}.jpg',
                    f'{folders["seg_map_path"]}/{name}.png',
                    int(label) - 1,
                )


@DATASETS.register_module()
class PASCAL5iDataset(FoldDataset):
    """PASCAL-5i: four folds of five classes of VOC."""

    BENCHMARK = 'pascal'


@DATASETS.register_module()
class COCO20iDataset(FoldDataset):
    """COCO-20i: four folds of twenty classes."""

    BENCHMARK = 'coco'


@DATASETS.register_module()
class FSS1000Dataset(ZeroShotDataset):
    """FSS-1000: a folder a class, with pairs ``1.jpg`` and ``1.png``.

    Args:
        ann_file: The names of the split's classes, one a line.
        kwargs: Further arguments of :class:`ZeroShotDataset`.
    """

    METAINFO = dict(classes=(OTHERS,), class_ids=[], class_names={})

    def load_data_list(self) -> list[dict]:
        """Read the split's names, then list the items."""
        self.folders = read_lines(self.ann_file)
        names = [folder.replace('_', ' ') for folder in self.folders]
        self._metainfo.update(
            classes=(OTHERS, *names),
            class_names=dict(enumerate(names)),
            class_ids=list(range(len(names))),
        )
        return super().load_data_list()

    def pairs(self) -> Iterator[tuple[str, str, int]]:
        """List the pairs of each class's folder, in the order of numbers."""
        for class_id, folder in enumerate(self.folders):
            images = Path(self.data_root or '', folder).glob('*.jpg')
            for image in sorted(images, key=lambda p: (len(p.stem), p.stem)):
                yield str(image), str(image.with_suffix('.png')), class_id

    def take_class(self, results: dict) -> dict:
        """Turn a mask of 0 and 255 into one of 0 and 1."""
        mask = results['gt_seg_map']
        mask = mask if mask.ndim == 2 else mask[..., 0]
        results['gt_seg_map'] = (mask > 127).astype(np.uint8)
        return results


def read_lines(path) -> list[str]:
    """Return the lines of a list that are not blank.

    Raises:
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no list '{path}': tools/prepare/zero_shot_lists.py "
            'writes one from a folder of maps, or set ann_file'
        )
    lines = (line.strip() for line in path.read_text().split('\n'))
    return [line for line in lines if line]
