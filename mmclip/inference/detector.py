"""Detect what a text names: images in, plain dicts out."""

from functools import lru_cache

import numpy as np

from mmclip.inference.named import find_checkpoint, last_change
from mmclip.inference.text import lists_names, read_text
from mmclip.inference.trained import TrainedModel, without_pretrained

__all__ = ['Detector', 'detect', 'find_checkpoint', 'without_pretrained']


def detect(
    image,
    text=None,
    *,
    model: str | None = None,
    config: str | None = None,
    device: str | None = None,
    **options,
):
    """Find what ``text`` names in an image, or in many.

    The model is kept for the next call with the same ``model``, until it is
    trained further. Example::

        from mmclip import detect
        found = detect('scene.png', 'red circle . blue square',
                       model='work_dirs/vild_r18_fpn_shapes')
        for found in detect('photographs/', {'dog': ['a puppy', 'a hound']}):
            print(found['image'], found['labels'])

    Args:
        image: Path, bytes of a file, uint8 RGB array (H, W[, 3]) or PIL
            image; a folder, a list or any iterator of these for many.
        text: ``'red circle . blue square'``, a list of names, ``{label:
            [prompts]}``, the path of a JSON file of either, or ``'dog: a
            puppy | a hound . cat'``; for a GLIP also a caption, whose
            phrases become the labels. None takes the names saved in the
            checkpoint.
        model: Work directory of a training, checkpoint file, or a name of
            ``mmclip models`` such as 'glip-t', whose weights are fetched if
            need be. None takes the best GLIP that is on this machine.
        config: Its config, where the checkpoint does not hold it.
        device: Such as 'cuda:0'; None takes the first accelerator, else the
            CPU.
        options: ``score_thr``: least score returned, 0.3; ``batch_size``,
            ``progress`` (a bar), ``recursive`` (folders within a folder),
            ``channel_order`` of arrays ('rgb'), and
            ``return_datasamples`` (mmdet's instead of dicts).

    Returns:
        ``labels``: N names; ``scores``: (N,); ``boxes``: (N, 4) xyxy pixels
        of the image; ``masks``: (N, H, W) bool, if the model has them. The
        best score comes first. Of a caption also ``caption`` and
        ``phrases``: each phrase and its spans, found or not. For many images
        an iterator of these, with ``image``, the path; nothing is done
        before it is asked for the next.

    Raises:
        FileNotFoundError: There is no such image or model.
        ValueError: The image, the text or the name of the model is none.
    """
    kept = kept_detector(
        model and str(model), config, device, last_change(model)
    )
    return kept(image, text, **options)


@lru_cache(maxsize=2)
def kept_detector(model, config, device, changed):
    """Build a detector, or return the one built before."""
    return Detector(model, config=config, device=device)


class Detector(TrainedModel):
    """Any mmdet detector, asked in words.

    Args:
        model: As of :func:`detect`.
        config: Path or name of its config; None takes the one in the
            checkpoint.
        device: As in :func:`detect`.
    """

    default_scope = 'mmdet'
    task = 'detection'
    answers_by = 'add_pred_to_datasample'

    def adapt(self, cfg):
        """Let a GLIP find its word list on this machine."""
        from mmclip.glip.bert_words import with_words

        return with_words(cfg)

    @property
    def reads_captions(self) -> bool:
        """Whether the model reads sentences, not names alone."""
        from mmclip.glip.reading import ReadsText

        return isinstance(self.model, ReadsText)

    def set_vocabulary(self, vocabulary, names=None, novel=None) -> None:
        """Answer in other names from now on; needs one of our models.

        Raises:
            ValueError: The model has no vocabulary.
        """
        if not hasattr(self.model, 'set_vocabulary'):
            raise ValueError(
                f'a {type(self.model).__name__} has no vocabulary to set: '
                'pass text= with each image'
            )
        self.model.set_vocabulary(vocabulary, names, novel)

    def asked(self, text) -> dict:
        """Return the fields by which a data sample asks for ``text``.

        Raises:
            ValueError: The model needs a text and knows no names.
        """
        text = read_text(text)
        if text is None and not self.reads_captions:
            return {}
        if text is None:
            if not self.classes:
                raise ValueError(
                    'this model knows no names of its own: say what to look '
                    "for, such as text='dog . cat' (--text)"
                )
            text = list(self.classes)
        if (
            self.reads_captions
            and isinstance(text, str)
            and not lists_names(text)
        ):
            return dict(text=text, asked_phrases=phrases_of(text))
        return dict(text=text, custom_entities=True)

    def plain(self, sample, score_thr: float = 0.3) -> dict:
        """Turn mmdet's data sample into a dict; see :func:`detect`.

        Args:
            sample: With ``pred_instances``.
            score_thr: Least score returned.
        """
        instances = sample.pred_instances.cpu().numpy()
        names = self.label_names(sample, instances)
        order = np.argsort(-instances.scores, kind='stable')
        order = order[instances.scores[order] >= score_thr]
        found = dict(
            labels=[names[i] for i in order],
            scores=instances.scores[order],
            boxes=within(instances.bboxes[order], sample.ori_shape),
        )
        if 'masks' in instances:
            found['masks'] = np.asarray(instances.masks)[order].astype(bool)
        if 'asked_phrases' in sample.metainfo:
            found['caption'] = sample.text
            found['phrases'] = sample.asked_phrases
        return found

    def label_names(self, sample, instances) -> list[str]:
        """Return the name of each of a sample's instances."""
        if 'asked_phrases' in sample.metainfo:
            names = [phrase for phrase, _ in sample.asked_phrases]
            return [names[label] for label in instances.labels]
        if 'label_names' in instances:
            return list(instances.label_names)
        return [self.classes[label] for label in instances.labels]


def within(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut boxes (N, 4) at the borders of an image (height, width).

    A GLIP's have inclusive ends, so one may end a fraction of a pixel
    outside.
    """
    return boxes.clip(0, np.float32([size[1], size[0], size[1], size[0]]))


def phrases_of(caption: str) -> list[tuple[str, list]]:
    """Return the phrases that our splitter finds, with their spans.

    Raises:
        ValueError: It finds none.
    """
    from mmclip.glip.grounding import ground_caption
    from mmclip.glip.noun_phrases import noun_phrases

    one = ground_caption(caption, noun_phrases)
    spans: list[list] = [[] for _ in one.names]
    for label, own in zip(one.labels, one.spans):
        spans[label] += own
    return list(zip(one.names, spans))
