"""Datasets that a detector meets at test time alone, under readable names."""

from mmdet.datasets import VOCDataset

from mmclip.registry import DATASETS

VOC_NAMES = {
    'diningtable': 'dining table',
    'pottedplant': 'potted plant',
    'tvmonitor': 'tv monitor',
}


@DATASETS.register_module()
class OVVOCDataset(VOCDataset):
    """Pascal VOC with the names of its classes as one writes them.

    VOC joins words ('pottedplant'), which a text encoder never read. What
    VOC calls difficult is ignored, as there.

    Args:
        **kwargs: As for mmdet's VOCDataset.
    """

    def load_data_list(self) -> list[dict]:
        """Read the XML files by VOC's names, then rename the classes."""
        records = super().load_data_list()
        self._metainfo['classes'] = tuple(
            VOC_NAMES.get(name, name) for name in self._metainfo['classes']
        )
        return records
