"""Give every pixel one of the names that a text lists.

H x W pixels of the image, K names, D embedding width.
"""

from contextlib import nullcontext
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mmclip.inference.image import load_image
from mmclip.inference.named import last_change
from mmclip.inference.trained import TrainedModel

PRECISIONS = ('float32', 'bfloat16', 'float16')


def segment(
    image,
    text=None,
    *,
    model: str | None = None,
    config: str | None = None,
    device: str | None = None,
    **options,
):
    """Segment an image, or many, into what ``text`` names.

    The model is kept for the next call with the same ``model``, until it is
    trained further. Example::

        from mmclip import segment
        found = segment('street.jpg', ['sky', 'dog', 'other'],
                        model='work_dirs/lseg_shapes-clip-dpt_shapes')

    Args:
        image: Path, bytes of a file, uint8 RGB array (H, W[, 3]) or PIL
            image; a folder, a list or any iterator of these for many.
        text: ``'sky . dog'``, a list of names, ``{label: [prompts]}``, the
            path of a JSON file of either, or ``'dog: a puppy | a hound .
            sky'``; None takes the names saved in the checkpoint. Supervised
            models give every pixel a name, so say what else there may be,
            too, such as 'other'.
        model: Work directory of a training, checkpoint file, a name of
            ``mmclip models``, or ``'mmclip://ViT-B-16-quickgelu/openai'``: a
            CLIP as it is. None takes the best CLIP that is on this machine.
        config: Its config, where the checkpoint does not hold it.
        device: Such as 'cuda:0'; None takes the first accelerator, else the
            CPU.
        options: ``scores``: whether all scores are returned, which takes
            memory for K maps; ``batch_size``, ``progress`` (a bar),
            ``recursive`` (folders within a folder), ``channel_order`` of
            arrays ('rgb'), and ``return_datasamples`` (mmseg's instead of
            dicts).

    Returns:
        ``labels``: (H, W) int32, indices of ``names``; ``names``: K names;
        ``scores``: (K, H, W) float32, if asked for. For many images an
        iterator of these, with ``image``, the path; nothing is done before
        it is asked for the next.

    Raises:
        FileNotFoundError: There is no such image or model.
        ValueError: The image, the text or the name of the model is none.
    """
    kept = kept_segmentor(
        model and str(model), config, device, last_change(model)
    )
    return kept(image, text, **options)


@lru_cache(maxsize=2)
def kept_segmentor(model, config, device, changed):
    """Build a segmentor, or return the one built before."""
    return Segmentor(model, config=config, device=device)


class Segmentor(TrainedModel):
    """Any mmseg segmentor, ours asked in words.

    Args:
        model: As of :func:`segment`.
        config: Path or name of its config; None takes the one in the
            checkpoint.
        device: As in :func:`segment`.
        precision: What the network computes in: 'float32', 'bfloat16' (half
            the time on CPUs that have it) or 'float16'.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It does not hold its config and none was given, or the
            precision is another.
    """

    default_scope = 'mmseg'
    task = 'segmentation'
    answers_by = 'postprocess_result'

    def __init__(
        self,
        model: str | None = None,
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

    def asked(self, text) -> dict:
        """Return the fields by which a data sample asks for ``text``.

        Raises:
            ValueError: The model has a closed set of names, or no names.
        """
        asked = super().asked(text)
        if asked:
            needs(self.model, 'set_vocabulary', 'a text')
        elif not (len(self.classes) or len(vocabulary_of(self.model))):
            raise ValueError(
                'this model knows no names of its own: say what to look for, '
                "such as text='sky . dog . other' (--text)"
            )
        return asked

    def test(self, batch: list[dict], scores: bool = False) -> list:
        """Return the data samples of a batch, with all scores if asked."""
        keeping = nullcontext()
        if scores:
            from mmclip.clip.segmentor import all_scores

            keeping = all_scores(self.model)
        with keeping:
            return super().test(batch)

    def plain(self, sample, scores: bool = False) -> dict:
        """Turn mmseg's data sample into a dict; see :func:`segment`.

        Args:
            sample: With ``pred_sem_seg``.
            scores: Whether all scores are returned.
        """
        labels = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.int32)
        names = list(sample.get('label_names', self.classes))
        found = dict(labels=labels, names=names)
        if scores:
            found['scores'] = sample.seg_logits.data.float().cpu().numpy()
        return found

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


def vocabulary_of(model):
    """Return the names that a model holds, as far as it has any."""
    head = getattr(model, 'decode_head', model)
    return getattr(head, 'vocabulary', ()) or ()
