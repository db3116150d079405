"""Proposals and datasets small enough to embed in a second."""

import numpy as np
from mmdet.registry import DATASETS

from mmclip.clip.folders import open_folder
from mmclip.vild.dataset_images import DatasetImages
from mmclip.vild.proposals import FORMAT, VERSION, Proposals
from mmclip.vild.shards import shard_ranges, write_shard

SIDE = 48


def shapes(num_images=7, seed=0, **options):
    """Return drawn scenes of 48 x 48."""
    return DATASETS.build(
        dict(
            type='mmclip.ShapesDataset',
            num_images=num_images,
            seed=seed,
            size=SIDE,
            **options,
        )
    )


def random_boxes(count, seed, side=SIDE):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, side - 8, (count, 2))
    high = low + rng.uniform(4, side / 2, (count, 2))
    return np.concatenate([low, high.clip(max=side)], 1).astype(np.float32)


def write_proposals(dataset, folder, shard_size=3, most=4) -> Proposals:
    """Write random boxes: ``i % (most + 1)`` for image i, none for some."""
    images = DatasetImages(dataset)
    folder.mkdir(parents=True, exist_ok=True)
    open_folder(
        folder,
        dict(
            format=FORMAT,
            version=VERSION,
            num_images=len(images),
            image_ids=images.identity,
            shard_size=shard_size,
            max_num=most,
            source={},
        ),
    )
    boxes = [random_boxes(i % (most + 1), i) for i in range(len(images))]
    for number, part in enumerate(shard_ranges(len(images), shard_size)):
        some = [boxes[i] for i in part]
        scores = [np.linspace(1, 0, len(b), dtype=np.float32) for b in some]
        ids = images.ids[part.start : part.stop]
        write_shard(folder, number, ids, dict(box=some, score=scores))
    return Proposals(folder)


def bytes_of(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}
