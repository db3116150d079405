"""Ask any detector that reads text for the phrases of captions."""

import re
from collections.abc import Sequence

import numpy as np
import torch

from mmclip.glip.grounding import Grounding
from mmclip.inference.detector import Detector

ARTICLE = re.compile(r'^(?:an?|the)\s+', re.IGNORECASE)
ASKED = ('caption', 'names')


class DetectorTeacher:
    """Find phrases with a grounding or an open-vocabulary detector.

    Args:
        detector: The detector.
        ask: ``'caption'`` gives a grounding detector (GLIP, Grounding DINO)
            the caption and its spans, ``'names'`` any other one the phrases
            without article as names; None decides by whether the model has a
            ``language_model``.

    Raises:
        ValueError: ``ask`` is unknown.
    """

    def __init__(self, detector: Detector, ask: str | None = None) -> None:
        self.detector = detector
        if ask is None:
            grounds = hasattr(detector.model, 'language_model')
            ask = 'caption' if grounds else 'names'
        if ask not in ASKED:
            raise ValueError(f"ask='{ask}': expected one of {ASKED}")
        self.ask = ask

    @torch.no_grad()
    def __call__(
        self, images: Sequence[np.ndarray], asked: Sequence[Grounding]
    ) -> list[dict]:
        """Return ``boxes``, ``scores`` and ``labels`` of each image."""
        packed = [self.pack(image, one) for image, one in zip(images, asked)]
        batch = {key: [p[key] for p in packed] for key in packed[0]}
        samples = self.detector.model.test_step(batch)
        return [self.read(sample) for sample in samples]

    def pack(self, image: np.ndarray, asked: Grounding) -> dict:
        """Return the inputs of an image."""
        height, width = image.shape[:2]
        packed = self.detector.pipeline(
            dict(
                img=np.ascontiguousarray(image[..., ::-1]),
                img_id=0,
                img_path=None,
                img_shape=(height, width),
                ori_shape=(height, width),
            )
        )
        packed['data_samples'].set_metainfo(self.text(asked))
        return dict(
            inputs=packed['inputs'], data_samples=packed['data_samples']
        )

    def text(self, asked: Grounding) -> dict:
        """Return what the model is asked."""
        if self.ask == 'names':
            names = [ARTICLE.sub('', name) for name in asked.names]
            return dict(text=names, custom_entities=True)
        spans = [[] for _ in asked.names]
        for label, own in zip(asked.labels, asked.spans):
            spans[label] += own
        return dict(text=asked.caption, tokens_positive=spans)

    def read(self, sample) -> dict:
        """Return what the model found.

        Raises:
            LookupError: It did not read the text.
        """
        found = sample.pred_instances
        if len(found) and 'label_names' not in found:
            raise LookupError(
                f'{type(self.detector.model).__name__} does not read text: '
                'its results have no label_names; take a grounding detector '
                'or one of our models'
            )
        return dict(
            boxes=found.bboxes.float().cpu().numpy(),
            scores=found.scores.float().cpu().numpy(),
            labels=found.labels.cpu().numpy(),
        )
