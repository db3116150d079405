"""Semantic maps of any classes, some of which only the test knows."""

from collections.abc import Sequence

from mmseg.datasets import BaseSegDataset

from mmclip.clip.table import read_names
from mmclip.data.ov_classes import class_names
from mmclip.registry import DATASETS

IGNORED = 255


@DATASETS.register_module()
class OVSegDataset(BaseSegDataset):
    """Semantic maps with the background at 0, split into base and novel.

    Pixels of a class that is not read are ignored, so training on
    ``classes_of=('base', )`` never tells the model what a novel object is,
    nor that it would be background.

    Args:
        names: The names of the maps' values 1, 2, ...: a list, or the path
            of a text file or of COCO annotations, as in
            :class:`mmclip.clip.EmbeddingTable`.
        base_classes: Names with labels in training, or the name of a set
            (``'coco-base-48'``; see :mod:`mmclip.data.ov_classes`).
        novel_classes: Names that only the test knows; ``'coco-novel-17'``.
        classes_of: The groups that are read: ``('base', )`` for training.
        background: What value 0 is called; it is then a class of its own,
            the first. None: its pixels are ignored.
        kwargs: Further arguments of mmseg's BaseSegDataset.

    Raises:
        ValueError: A class is not among ``names``, or both base and novel.
    """

    def __init__(
        self,
        *args,
        names: Sequence[str] | str,
        base_classes: Sequence[str] | str,
        novel_classes: Sequence[str] | str = (),
        classes_of: Sequence[str] = ('base', 'novel'),
        background: str | None = 'background',
        **kwargs,
    ) -> None:
        groups = dict(
            base=class_names(base_classes), novel=class_names(novel_classes)
        )
        if both := set(groups['base']) & set(groups['novel']):
            raise ValueError(f'classes cannot be base and novel: {both}')
        self.names, self.background = names, background
        first = () if background is None else (background,)
        classes = [name for group in classes_of for name in groups[group]]
        kwargs['metainfo'] = dict(
            kwargs.get('metainfo') or {},
            classes=(*first, *classes),
            base_classes=groups['base'] if 'base' in classes_of else (),
            novel_classes=groups['novel'] if 'novel' in classes_of else (),
        )
        super().__init__(*args, **kwargs)

    def get_label_map(self, new_classes: Sequence[str]) -> None:
        """Return None: the map follows once the names are read."""

    def load_data_list(self) -> list[dict]:
        """List the images, and read the names of the maps' values."""
        self.label_map = self.labels(read_names(self.names))
        self._metainfo.update(label_map=self.label_map)
        return super().load_data_list()

    def labels(self, names: Sequence[str]) -> dict[int, int]:
        """Return the label of each value of the maps.

        Args:
            names: Of the values 1, 2, ...
        """
        classes = self._metainfo['classes']
        if absent := set(classes) - {*names, self.background}:
            raise ValueError(
                f'{len(absent)} of the {len(classes)} classes, such as '
                f'{sorted(absent)[:3]}, are not among the {len(names)} names '
                f'of the maps ({list(names)[:3]}, ...): check names, '
                'base_classes and novel_classes'
            )
        label = {name: k for k, name in enumerate(classes)}
        values = {k: label.get(n, IGNORED) for k, n in enumerate(names, 1)}
        return {0: label.get(self.background, IGNORED), **values}
