"""Which classes of PASCAL-5i and COCO-20i are held out together.

Class ids count from 0; PASCAL's is that of VOC without background, COCO's
that of the 80 things in the order of their ids.
"""

from collections.abc import Sequence

# As the released code says them, which is VOC's own spelling.
PASCAL = (
    'aeroplane',
    'bicycle',
    'bird',
    'boat',
    'bottle',
    'bus',
    'car',
    'cat',
    'chair',
    'cow',
    'diningtable',
    'dog',
    'horse',
    'motorbike',
    'person',
    'pottedplant',
    'sheep',
    'sofa',
    'train',
    'tvmonitor',
)
FOLDS = 4


def class_names(benchmark: str) -> tuple[str, ...]:
    """Return the names of all classes of ``pascal`` or ``coco``.

    Raises:
        ValueError: The benchmark is neither.
    """
    if benchmark == 'pascal':
        return PASCAL
    if benchmark == 'coco':
        from mmdet.datasets import CocoDataset

        return CocoDataset.METAINFO['classes']
    raise ValueError(f"benchmark='{benchmark}': expected 'pascal' or 'coco'")


def fold_classes(benchmark: str, fold: int) -> list[int]:
    """Return the class ids that ``fold`` tests.

    PASCAL-5i takes five in a row, COCO-20i every fourth.

    Raises:
        ValueError: There is no such fold or benchmark.
    """
    count = len(class_names(benchmark))
    if fold not in range(FOLDS):
        raise ValueError(f'fold={fold}: expected 0 to {FOLDS - 1}')
    if benchmark == 'pascal':
        size = count // FOLDS
        return list(range(fold * size, (fold + 1) * size))
    return list(range(fold, count, FOLDS))


def other_classes(benchmark: str, fold: int) -> list[int]:
    """Return the class ids that ``fold`` trains on."""
    held_out: Sequence[int] = fold_classes(benchmark, fold)
    count = len(class_names(benchmark))
    return [k for k in range(count) if k not in held_out]
