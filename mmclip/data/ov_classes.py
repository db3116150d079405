"""Which classes are base and which novel: the published splits, by name.

COCO: Bansal et al., 2018, as OVR-CNN, ViLD and its followers use it. The
classes in neither list are removed from training and from the test. LVIS
needs no list: its annotation files give each class a letter.
"""

COCO_BASE = (
    'person', 'bicycle', 'car', 'motorcycle', 'train', 'truck', 'boat',
    'bench', 'bird', 'horse', 'sheep', 'bear', 'zebra', 'giraffe', 'backpack',
    'handbag', 'suitcase', 'frisbee', 'skis', 'kite', 'surfboard', 'bottle',
    'fork', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange',
    'broccoli', 'carrot', 'pizza', 'donut', 'chair', 'bed', 'toilet', 'tv',
    'laptop', 'mouse', 'remote', 'microwave', 'oven', 'toaster',
    'refrigerator', 'book', 'clock', 'vase', 'toothbrush',
)  # fmt: skip
COCO_NOVEL = (
    'airplane', 'bus', 'cat', 'dog', 'cow', 'elephant', 'umbrella', 'tie',
    'snowboard', 'skateboard', 'cup', 'knife', 'cake', 'couch', 'keyboard',
    'sink', 'scissors',
)  # fmt: skip
COCO_REMOVED = (
    'traffic light', 'fire hydrant', 'stop sign', 'parking meter',
    'sports ball', 'baseball bat', 'baseball glove', 'tennis racket',
    'wine glass', 'hot dog', 'potted plant', 'dining table', 'cell phone',
    'teddy bear', 'hair drier',
)  # fmt: skip
SETS = {
    'coco-base-48': COCO_BASE,
    'coco-novel-17': COCO_NOVEL,
    'coco-removed-15': COCO_REMOVED,
}
FREQUENCY = {'f': 'base', 'c': 'base', 'r': 'novel'}  # ViLD, section 4.1
LVIS_COUNTS = {'r': 337, 'c': 461, 'f': 405}  # LVIS v1


def class_names(names) -> tuple[str, ...]:
    """Return names as they are, or those of a set such as 'coco-base-48'.

    Raises:
        ValueError: There is no set of this name.

    Example:
        >>> class_names('coco-novel-17')[:3]
        ('airplane', 'bus', 'cat')
    """
    if not isinstance(names, str):
        return tuple(names)
    if names not in SETS:
        raise ValueError(
            f"'{names}' is no set of classes: give a list of names, or one "
            f'of {", ".join(SETS)}'
        )
    return SETS[names]


def frequency_letter(image_count: int) -> str:
    """Return LVIS's letter of a class found in so many training images.

    Rare are 1 to 10, common 11 to 100, frequent more (LVIS, section 3.1).

    Example:
        >>> frequency_letter(10), frequency_letter(100), frequency_letter(101)
        ('r', 'c', 'f')
    """
    return 'r' if image_count <= 10 else 'c' if image_count <= 100 else 'f'
