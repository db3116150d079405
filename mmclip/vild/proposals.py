"""Keep the boxes that a region proposal network finds, for all of a dataset.

N boxes of an image.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader, Subset

from mmclip.clip.folders import ShardError, open_folder
from mmclip.clip.ranks import Rank
from mmclip.vild.dataset_images import DatasetImages
from mmclip.vild.shards import Shards, write_shard
from mmclip.vild.stripes import open_stripe

FORMAT = 'mmclip.proposals'
VERSION = 1


class Proposals(Shards):
    """Read a folder of proposals: boxes in pixels of the original image.

    ``box`` float32 (N, 4) xyxy and ``score`` float32 (N,), best first.

    Args:
        folder: What ``tools/vild/dump_proposals.py`` wrote.
    """

    def __init__(self, folder):
        super().__init__(
            folder, FORMAT, dict(version=VERSION), 'dump_proposals'
        )

    def check_images(self, images: DatasetImages) -> None:
        """Raise a ShardError unless these are the proposals of ``images``."""
        wanted = images.identity
        if self.manifest['image_ids'] == wanted:
            return
        raise ShardError(
            f"the proposals in '{self.folder}' are of another image set: got "
            f'{self.manifest["num_images"]} images (such as '
            f'{self.ids[:3].tolist()}), expected the {len(images)} of the '
            f'dataset (such as {images.ids[:3]}), with the same ids in the '
            'same order: run dump_proposals over this split of this config'
        )

    def of(self, image_id, limit: int | None = None):
        """Return ``box`` (N, 4) and ``score`` (N,) of an image, copied."""
        box, score = self.rows(image_id, limit, 'box', 'score')
        return np.array(box), np.array(score)


@torch.no_grad()
def dump_proposals(
    model,
    dataset,
    folder,
    *,
    source: dict | None = None,
    max_num: int = 1000,
    shard_size: int = 1000,
    batch_size: int = 4,
    workers: int = 0,
    rank: Rank | None = None,
    every: float = 10.0,
) -> Proposals:
    """Run the proposal network of a detector over a dataset; resumable.

    Args:
        model: A two-stage detector or ``mmdet.RPN``, in eval mode.
        dataset: With a test pipeline, which may resize but neither crop nor
            flip.
        folder: Where the shards go.
        source: What the manifest says of the model, such as its checkpoint's
            hash; a run that goes on must say the same.
        max_num: Boxes an image at most, best first.
        shard_size: Images of a shard.
        batch_size: Images of a forward pass.
        workers: Processes that load images.
        rank: Which shards are this process's; the environment's by default.
        every: Seconds between two lines of progress.

    Raises:
        ShardError: ``folder`` was begun with other settings.
        ValueError: The model has no proposal network.
    """
    rank, folder = rank or Rank.from_environment(), Path(folder)
    images = DatasetImages(dataset)
    manifest = dict(
        format=FORMAT,
        version=VERSION,
        num_images=len(images),
        image_ids=images.identity,
        shard_size=shard_size,
        max_num=max_num,
        source=source or {},
    )
    open_folder(folder, manifest)
    left, progress = open_stripe(folder, len(images), shard_size, rank, every)
    for number, part in left:
        loader = DataLoader(
            Subset(dataset, part),
            batch_size=batch_size,
            num_workers=workers,
            collate_fn=pseudo_collate,
        )
        found = list(progress.over(propose(model, loader, max_num)))
        write_shard(
            folder,
            number,
            images.ids[part.start : part.stop],
            dict(box=[b for b, _ in found], score=[s for _, s in found]),
        )
    return Proposals(folder)


def propose(model, loader, max_num: int) -> Iterator[tuple]:
    """Yield each image's boxes in original pixels and scores, best first."""
    head = proposal_head(model)
    for batch in loader:
        batch = model.data_preprocessor(batch)
        features = model.extract_feat(batch['inputs'])
        for found in head.predict(
            features, batch['data_samples'], rescale=True
        ):
            scores, order = found.scores.sort(descending=True, stable=True)
            order = order[:max_num]
            yield (
                found.bboxes[order].float().cpu().numpy(),
                scores[: len(order)].float().cpu().numpy(),
            )


def proposal_head(model):
    """Return the module that proposes regions.

    Raises:
        ValueError: There is none.
    """
    head = getattr(model, 'rpn_head', None) or getattr(
        model, 'bbox_head', None
    )
    if head is None:
        raise ValueError(
            f'{type(model).__name__} has no proposal network: take the config '
            'of a two-stage detector or of mmdet.RPN'
        )
    return head
