"""Data sets of semantic maps, and several of them in one training.

Each brings its own names: in LSeg the text is the classifier.
"""

from collections.abc import Sequence

from mmengine.registry import DATASETS as ALL_DATASETS
from mmseg.datasets import BaseSegDataset

from mmclip.registry import DATASETS

SORTS = ('merged', 'other', 'stuff')  # what COCO adds to a name's word
SAID = {'window-blind': 'window blind', 'playingfield': 'playing field'}


@DATASETS.register_module()
class COCOPanopticSegDataset(BaseSegDataset):
    """COCO's 133 panoptic classes as semantic maps.

    ``tools/prepare/panoptic_to_semantic.py`` writes the maps.

    Args:
        kwargs: Arguments of mmseg's BaseSegDataset.
    """

    def __init__(
        self,
        *args,
        img_suffix: str = '.jpg',
        seg_map_suffix: str = '.png',
        **kwargs,
    ) -> None:
        super().__init__(
            *args,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            metainfo=dict(
                classes=panoptic_names(),
                **(kwargs.pop('metainfo', None) or {}),
            ),
            **kwargs,
        )


def panoptic_names() -> tuple[str, ...]:
    """Return COCO's 133 names as one says them, in the order of their ids.

    'tree-merged' is said 'tree', 'wall-brick' is said 'brick wall'.
    """
    from mmdet.datasets import CocoPanopticDataset

    return tuple(map(said, CocoPanopticDataset.METAINFO['classes']))


def said(name: str) -> str:
    """Return what one says for a name of COCO's panoptic classes."""
    if name in SAID:
        return SAID[name]
    words = [word for word in name.split('-') if word not in SORTS]
    return ' '.join(reversed(words))


@DATASETS.register_module()
class OwnNamesDataset:
    """A data set whose samples are trained on in its own names.

    Each item's data sample gets ``text``, the names of the set, so that sets
    with other names can be concatenated (``ConcatDataset`` with
    ``ignore_keys``): every image is scored against the names of its own set.

    Args:
        dataset: Config or instance of a set of semantic maps.
    """

    def __init__(self, dataset, lazy_init: bool = False) -> None:
        if isinstance(dataset, dict):
            dataset = ALL_DATASETS.build(dataset)
        self.dataset = dataset
        self.text: Sequence[str] = list(dataset.metainfo['classes'])
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Return the set's own."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Read the set."""
        self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def get_data_info(self, index: int) -> dict:
        """Return where an item's files are."""
        return self.dataset.get_data_info(index)

    def __getitem__(self, index: int) -> dict:
        item = self.dataset[index]
        item['data_samples'].set_metainfo(dict(text=list(self.text)))
        return item
