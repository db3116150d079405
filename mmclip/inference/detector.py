"""Detect what a text names: image in, plain dict out."""

from functools import lru_cache

import numpy as np
import torch

from mmclip.inference.trained import (
    TrainedModel,
    find_checkpoint,
    without_pretrained,
)

__all__ = ['Detector', 'detect', 'find_checkpoint', 'without_pretrained']


def detect(
    image,
    text=None,
    *,
    model: str,
    config: str | None = None,
    score_thr: float = 0.3,
    device: str | None = None,
) -> dict:
    """Find what ``text`` names in an image.

    The model is kept for the next call with the same ``model``. Example::

        from mmclip import detect
        found = detect('scene.png', 'red circle . blue square',
                       model='work_dirs/vild_r18_fpn_shapes')

    Args:
        image: Path, uint8 RGB array (H, W[, 3]) or PIL image.
        text: ``'red circle . blue square'``, a list of names, or
            ``{label: [prompts]}``; None takes the names saved in the
            checkpoint.
        model: Work directory of a training, or a checkpoint file.
        config: Its config, where the checkpoint does not hold it.
        score_thr: Least score returned.
        device: Such as 'cuda:0'; None takes the first accelerator, else the
            CPU.

    Returns:
        ``labels``: N names; ``scores``: (N,); ``boxes``: (N, 4) xyxy pixels
        of the image; ``masks``: (N, H, W) bool, if the model has them. The
        best score comes first.
    """
    return kept_detector(str(model), config, device)(
        image, text, score_thr=score_thr
    )


@lru_cache(maxsize=2)
def kept_detector(model: str, config: str | None, device: str | None):
    """Build a detector, or return the one built before."""
    return Detector(model, config=config, device=device)


class Detector(TrainedModel):
    """Any mmdet detector, asked in words.

    Args:
        model: Work directory of a training, or a checkpoint file.
        config: Path of its config; None takes the one in the checkpoint.
        device: As in :func:`detect`.
    """

    default_scope = 'mmdet'

    def set_vocabulary(self, vocabulary, names=None, novel=None) -> None:
        """Answer in other names from now on; needs one of our models."""
        self.model.set_vocabulary(vocabulary, names, novel)

    @torch.no_grad()
    def __call__(
        self,
        image,
        text=None,
        *,
        score_thr: float = 0.3,
        channel_order: str = 'rgb',
    ) -> dict:
        """Detect in one image; see :func:`detect`."""
        asked = {}
        if text is not None:
            asked = dict(text=text, custom_entities=True)
        packed = self.pack(image, channel_order, **asked)
        sample = self.model.test_step(
            dict(
                inputs=[packed['inputs']],
                data_samples=[packed['data_samples']],
            )
        )[0]
        return plain(sample.pred_instances, self.classes, score_thr)


def plain(instances, classes, score_thr: float) -> dict:
    """Turn mmdet's instances into a dict of names and arrays, best first."""
    instances = instances.cpu().numpy()
    names = (
        list(instances.label_names)
        if 'label_names' in instances
        else [classes[label] for label in instances.labels]
    )
    order = np.argsort(-instances.scores, kind='stable')
    order = order[instances.scores[order] >= score_thr]
    found = dict(
        labels=[names[i] for i in order],
        scores=instances.scores[order],
        boxes=instances.bboxes[order],
    )
    if 'masks' in instances:
        found['masks'] = np.asarray(instances.masks)[order].astype(bool)
    return found
