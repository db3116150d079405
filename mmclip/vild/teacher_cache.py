"""Keep the CLIP embeddings of proposals, and read them while training.

N boxes of an image, D embedding width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmclip.clip.folders import open_folder
from mmclip.clip.ranks import Rank
from mmclip.vild.crop_encoder import CropEncoder
from mmclip.vild.dataset_images import DatasetImages
from mmclip.vild.proposals import Proposals
from mmclip.vild.shards import Shards, write_shard
from mmclip.vild.stripes import open_stripe

FORMAT = 'mmclip.teacher_cache'
VERSION = 1


class TeacherCache(Shards):
    """Read a folder of embeddings: what a frozen CLIP says of each box.

    ``emb`` float16 (N, D), unit rows; ``box`` float32 (N, 4), xyxy pixels of
    the original image; ``score`` float32 (N,), the proposal's.

    Args:
        folder: What ``tools/vild/extract_embeddings.py`` wrote.
        expected: Fields of its manifest that must be met, such as
            ``dict(clip='ViT-B-32 openai', embed_dims=512)``.
    """

    def __init__(self, folder, **expected):
        super().__init__(
            folder,
            FORMAT,
            dict(version=VERSION, **expected),
            'extract_embeddings',
        )

    def of(self, image_id, limit: int | None = None):
        """Return boxes (N, 4) and embeddings (N, D) as they are stored.

        Both are views of the files, nothing is copied: whoever computes with
        the rows widens them (``collect_targets``, for a whole batch and on
        its device). Do not write to them.

        Raises:
            ShardError: The image is not in the cache, or the cache is not
                what was expected.
        """
        return tuple(self.rows(image_id, limit, 'box', 'emb'))


def cache_manifest(
    encoder: CropEncoder,
    images: DatasetImages,
    proposals: Proposals,
    max_num: int,
    shard_size: int,
) -> dict:
    """Return all that decides what a cache holds."""
    return dict(
        format=FORMAT,
        version=VERSION,
        clip=encoder.clip,
        weights=encoder.weights,
        scales=list(encoder.scales),
        mode=encoder.mode,
        image_size=encoder.image_size,
        precision=str(encoder.parameter.dtype).removeprefix('torch.'),
        dtype='float16',
        embed_dims=encoder.embed_dims,
        proposals=proposals.content_hash(),
        max_num=max_num,
        num_images=len(images),
        image_ids=images.identity,
        shard_size=shard_size,
    )


def extract_embeddings(
    dataset,
    proposals: Proposals,
    encoder: CropEncoder,
    folder,
    *,
    max_num: int = 300,
    shard_size: int = 1000,
    workers: int = 0,
    rank: Rank | None = None,
    every: float = 10.0,
) -> TeacherCache:
    """Embed the proposals of a dataset; resumable, and striped over ranks.

    Crops are batched across the images of a shard and never beyond it, and on
    the CPU a process encodes with one thread, since sums split among threads
    round otherwise. So a shard's bytes do not depend on how many ranks there
    are, how many cores each has or where a run was interrupted (on one kind
    of machine, with one ``encoder.batch_size``). Start several ranks to use
    several cores.

    Args:
        dataset: Any of mmdet's, see
            :class:`mmclip.vild.dataset_images.DatasetImages`.
        proposals: Of the same images.
        encoder: On the device that does the work.
        folder: Where the shards go.
        max_num: Boxes an image, the best ones.
        shard_size: Images of a shard.
        workers: Processes that load images.
        rank: Which shards are this process's; the environment's by default.
        every: Seconds between two lines of progress.

    Raises:
        ShardError: The proposals are of other images, or ``folder`` was begun
            with other settings.
        ValueError: An embedding is not finite.
        OSError: A file cannot be written.
    """
    rank, folder = rank or Rank.from_environment(), Path(folder)
    images = DatasetImages(dataset)
    proposals.check_images(images)
    open_folder(
        folder,
        cache_manifest(encoder, images, proposals, max_num, shard_size),
    )
    left, progress = open_stripe(folder, len(images), shard_size, rank, every)
    for number, part in left:
        ids = images.ids[part.start : part.stop]
        known = [proposals.of(image_id, max_num) for image_id in ids]
        boxes = [torch.from_numpy(box) for box, _ in known]
        pixels = progress.over(images.load(part, workers))
        with one_thread():
            embeddings = encoder(pixels, boxes)
        write_shard(
            folder,
            number,
            ids,
            dict(
                emb=list(half_rows(embeddings, ids, encoder.clip)),
                box=[box for box, _ in known],
                score=[score for _, score in known],
            ),
        )
    return TeacherCache(folder)


@contextmanager
def one_thread():
    """Compute on one CPU thread within the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def half_rows(
    embeddings: Sequence[Tensor], ids: Sequence, clip: str
) -> Iterator[np.ndarray]:
    """Yield each image's embeddings in half precision.

    Raises:
        ValueError: A row is not finite or has no length.
    """
    for image_id, rows in zip(ids, embeddings):
        good = rows.isfinite().all(1) & (rows.norm(dim=1) > 0.5)
        if not good.all():
            row = int((~good).nonzero()[0])
            raise ValueError(
                f"'{clip}' gives no direction for box {row} of image "
                f'{image_id!r} (first values {rows[row, :4].tolist()}), '
                'expected a unit row: check its weights, or encode in '
                'float32; the shard was not written'
            )
        yield rows.half().cpu().numpy()
