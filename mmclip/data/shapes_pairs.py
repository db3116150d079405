"""Captioned scenes of the shapes world as a data set of image-text pairs.

They are drawn, never read: pair ``i`` follows from ``(seed, i)``.
"""

from collections.abc import Sequence

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from mmclip.data.shapes import concepts, draw_scene
from mmclip.data.shapes_captions import (
    CAPTION_TEMPLATES,
    LIST_TEMPLATES,
    listing,
    with_article,
)
from mmclip.registry import DATASETS


@DATASETS.register_module()
class ShapesPairDataset(Dataset):
    """Draw scenes and say what is in them.

    No box or mask enters. A scene of one object is told as in
    ``CAPTION_TEMPLATES``, one of several lists their names in any order.

    Args:
        num_images: How many pairs there are.
        seed: Choose another one for another split.
        size: Side of the images in pixels.
        objects_of: Splits whose concepts are drawn.
        vocabulary: ``shapes-80``, ``shapes-solid`` or ``all``.
        objects: Fewest and most objects of a scene.
        radius: Least and largest bounding circle, as part of ``size``.
        pipeline: Transforms from ``img`` (uint8 BGR) and ``caption`` on.
        lazy_init: For mmengine; there is nothing to load.
    """

    def __init__(
        self,
        num_images: int = 100_000,
        seed: int = 0,
        size: int = 64,
        objects_of: Sequence[str] = ('base', 'novel'),
        vocabulary: str = 'shapes-80',
        objects: tuple[int, int] = (1, 4),
        radius: tuple[float, float] = (0.085, 0.215),
        pipeline: Sequence = (),
        lazy_init: bool = True,
    ) -> None:
        self.num_images, self.seed, self.size = num_images, seed, size
        self.objects, self.radius = tuple(objects), tuple(radius)
        self.among = concepts(*objects_of, vocabulary=vocabulary)
        self.pipeline = Compose(pipeline)
        self.metainfo = dict(
            dataset_type='shapes', classes=tuple(c.name for c in self.among)
        )

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> dict:
        """Return what the pipeline makes of pair ``index``."""
        seed = (self.seed, int(index))
        scene = draw_scene(
            seed, self.size, self.among, self.objects, self.radius
        )
        names = [entry.concept.name for entry in scene.objects]
        rng = np.random.Generator(np.random.PCG64([*seed, 7]))
        return self.pipeline(
            dict(
                img=scene.image[..., ::-1].copy(),
                img_path=f'shapes/{self.seed}/{index}.png',
                img_shape=(self.size, self.size),
                ori_shape=(self.size, self.size),
                caption=tell(names, rng),
            )
        )


def tell(names: Sequence[str], rng: np.random.Generator) -> str:
    """Say what is there: one name, several in any order, or nothing."""
    if not names:
        return 'the scene'
    options = CAPTION_TEMPLATES if len(names) == 1 else LIST_TEMPLATES
    template = options[int(rng.random() * len(options))]
    if len(names) == 1:
        said = template.replace('a {}', with_article(names[0]))
        return said.replace('{}', names[0])
    order = sorted(range(len(names)), key=lambda _: rng.random())
    return template.format(listing([with_article(names[k]) for k in order]))
