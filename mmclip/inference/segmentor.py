"""Give every pixel one of the names that a text lists.

H x W pixels of the image, K names, D embedding width.
"""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mmclip.inference.image import load_image
from mmclip.inference.trained import TrainedModel

PRECISIONS = ('float32', 'bfloat16', 'float16')


def segment(
    image,
    text=None,
    *,
    model: str,
    config: str | None = None,
    scores: bool = False,
    device: str | None = None,
) -> dict:
    """Segment an image into what ``text`` names.

    The model is kept for the next call with the same ``model``. Example::

        from mmclip import segment
        found = segment('street.jpg', ['sky', 'dog', 'other'],
                        model='work_dirs/lseg_shapes-clip-dpt_shapes')

    Args:
        image: Path, uint8 RGB array (H, W[, 3]) or PIL image.
        text: ``'sky . dog'``, a list of names, or ``{label: [prompts]}``;
            None takes the names saved in the checkpoint. Supervised models
            give every pixel a name, so say what else there may be, too, such
            as 'other'.
        model: Work directory of a training, or a checkpoint file.
        config: Its config, where the checkpoint does not hold it.
        scores: Whether all scores are returned, which takes memory for K
            maps.
        device: Such as 'cuda:0'; None takes the first accelerator, else the
            CPU.

    Returns:
        ``labels``: (H, W) int32, indices of ``names``; ``names``: K names;
        ``scores``: (K, H, W) float32, if asked for.
    """
    return kept_segmentor(str(model), config, device)(
        image, text, scores=scores
    )


@lru_cache(maxsize=2)
def kept_segmentor(model: str, config: str | None, device: str | None):
    """Build a segmentor, or return the one built before."""
    return Segmentor(model, config=config, device=device)


class Segmentor(TrainedModel):
    """Any mmseg segmentor, ours asked in words.

    Args:
        model: Work directory of a training, or a checkpoint file.
        config: Path of its config; None takes the one in the checkpoint.
        device: As in :func:`segment`.
        precision: What the network computes in: 'float32', 'bfloat16' (half
            the time on CPUs that have it) or 'float16'.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It does not hold its config and none was given, or the
            precision is another.
    """

    default_scope = 'mmseg'

    def __init__(
        self,
        model: str,
        *,
        config: str | None = None,
        device: str | None = None,
        precision: str = 'float32',
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(
                f"precision='{precision}': expected one of {PRECISIONS}"
            )
        super().__init__(model, config=config, device=device)
        if precision != 'float32':
            needs(self.model, 'compute_in', f'precision={precision!r}')
            self.model.compute_in(getattr(torch, precision))

    def adapt(self, cfg):
        """Let a pretraining without masks segment: GroupViT's towers do."""
        from mmclip.groupvit.from_pretraining import adapted

        return adapted(cfg)

    def set_vocabulary(self, vocabulary, names=None) -> None:
        """Answer in other names from now on.

        Args:
            vocabulary: Names, ``{name: [phrases]}``, or embeddings (K, D).
            names: The names of embeddings.

        Raises:
            ValueError: The model has a closed set of names.
        """
        needs(self.model, 'set_vocabulary', 'a vocabulary')
        self.model.set_vocabulary(vocabulary, names)

    def __call__(
        self,
        image,
        text=None,
        *,
        scores: bool = False,
        channel_order: str = 'rgb',
    ) -> dict:
        """Segment one image; see :func:`segment`."""
        images = [load_image(image, channel_order)]
        return next(self.stream(images, text, scores=scores))

    @torch.no_grad()
    def stream(
        self,
        images: Iterable,
        text=None,
        *,
        batch_size: int = 1,
        scores: bool = False,
    ) -> Iterator[dict]:
        """Segment images one after the other, holding a batch at a time.

        Args:
            images: Any number of paths, arrays or PIL images; a generator is
                read as it is needed.
            text: Of all images, as in :func:`segment`.
            batch_size: Most images at once; only neighbours whose network
                inputs have the same size share a batch.
            scores: As in :func:`segment`.

        Yields:
            What :func:`segment` returns for each image, in their order.

        Raises:
            ValueError: The batch size is below 1, or ``text`` was given and
                the model has a closed set of names.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size}: expected 1 or more')
        asked = {}
        if text is not None:
            needs(self.model, 'set_vocabulary', 'a text')
            asked = dict(text=text)
        packed = (self.pack(image, **asked) for image in images)
        for batch in batches(packed, batch_size):
            yield from self._segment(batch, scores)

    def _segment(self, batch: list[dict], scores: bool) -> Iterator[dict]:
        keeping = nullcontext()
        if scores:
            from mmclip.clip.segmentor import all_scores

            keeping = all_scores(self.model)
        data = {key: [each[key] for each in batch] for key in batch[0]}
        with keeping:
            samples = self.model.test_step(data)
        for sample in samples:
            yield plain(sample, self.classes, scores)

    @torch.no_grad()
    def embed(self, image, *, stride: int = 2, channel_order='rgb') -> Tensor:
        """Embed an image's pixels in the space of the text embeddings.

        Args:
            image: Path, array or PIL image, taken at its own size.
            stride: Image pixels a position, 2 or 4.
            channel_order: As of :func:`mmclip.inference.image.load_image`.

        Returns:
            Unit embeddings (D, h, w), float16; see
            :func:`mmclip.lseg.pixel_embeddings.pixel_embeddings`.

        Raises:
            ValueError: The model embeds no pixels, or the stride is another.
        """
        from mmclip.lseg.pixel_embeddings import pixel_embeddings

        needs(self.model, 'pixel_embeddings', 'pixel embeddings')
        picture = load_image(image, channel_order)
        return pixel_embeddings(self.model, picture, stride=stride)


def needs(model, method: str, what: str) -> None:
    """Raise a ValueError where a model lacks a method of ours."""
    if not hasattr(model, method):
        raise ValueError(
            f'{what} needs a model with {method}, such as mmclip.LSeg; this '
            f'one is a {type(model).__name__} with a closed set of names'
        )


def batches(packed: Iterable[dict], size: int) -> Iterator[list[dict]]:
    """Group up to ``size`` neighbours whose inputs have the same shape."""
    batch: list[dict] = []
    for each in packed:
        if batch and each['inputs'].shape != batch[0]['inputs'].shape:
            yield batch
            batch = []
        batch.append(each)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def plain(sample, classes, scores: bool) -> dict:
    """Turn mmseg's data sample into a dict of names and arrays."""
    labels = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.int32)
    names = list(sample.get('label_names', classes))
    found = dict(labels=labels, names=names)
    if scores:
        found['scores'] = sample.seg_logits.data.float().cpu().numpy()
    return found
