"""Segmentation benchmarks as a zero-shot model meets them.

They are mmseg's, but for two things: a folder that is not there is missed
when images are read, not when a config is built, and COCO's things stand by
themselves.
"""

from mmseg.datasets import (
    BaseSegDataset,
    COCOStuffDataset,
    PascalContextDataset,
    PascalVOCDataset,
)

from mmclip.registry import DATASETS

THINGS = 80  # the first classes of COCO-Stuff
BACKGROUND = 'background'


@DATASETS.register_module()
class OVSegVOCDataset(BaseSegDataset):
    """Pascal VOC: the background, label 0, and 20 classes.

    Args:
        kwargs: As for mmseg's ``BaseSegDataset``.
    """

    METAINFO = PascalVOCDataset.METAINFO

    def __init__(self, **kwargs) -> None:
        super().__init__(
            **dict(img_suffix='.jpg', seg_map_suffix='.png') | kwargs
        )


@DATASETS.register_module()
class OVSegContextDataset(OVSegVOCDataset):
    """Pascal Context: the background, label 0, and 59 classes."""

    METAINFO = PascalContextDataset.METAINFO


@DATASETS.register_module()
class COCOObjectDataset(COCOStuffDataset):
    """The 80 things of COCO, and label 0 for all stuff.

    Read from the maps that mmseg's ``COCOStuffDataset`` reads
    (``*_labelTrainIds.png``); pixels that these leave open stay ignored.

    Args:
        kwargs: As for mmseg's ``COCOStuffDataset``.
    """

    METAINFO = dict(
        classes=(BACKGROUND, *COCOStuffDataset.METAINFO['classes'][:THINGS]),
        palette=[
            [0, 0, 0],
            *COCOStuffDataset.METAINFO['palette'][:THINGS],
        ],
    )

    @classmethod
    def get_label_map(cls, new_classes=None) -> dict[int, int]:
        """Return what each label of COCO-Stuff becomes.

        Raises:
            ValueError: Other classes are asked for.
        """
        if new_classes and tuple(new_classes) != cls.METAINFO['classes']:
            raise ValueError(
                'COCOObjectDataset has its 81 classes in their order: take '
                'COCOStuffDataset for others'
            )
        count = len(COCOStuffDataset.METAINFO['classes'])
        return {k: k + 1 if k < THINGS else 0 for k in range(count)}
