"""Ground a caption: its phrases become labels, each with its boxes.

N boxes of an image, K phrases of the caption. Spans are half-open characters
of the caption.
"""

import re
from collections.abc import Sequence

from mmclip.inference.detector import Detector


class GroundingInferencer(Detector):
    """A GLIP that is asked with whole sentences.

    Example::

        from mmclip.inference import GroundingInferencer
        inferencer = GroundingInferencer('glip-t')
        found = inferencer('park.jpg', 'a man in a red coat walks two dogs')
        picture = inferencer.draw('park.jpg', found)

    Args:
        model: As of :func:`mmclip.inference.detector.detect`.
        config: Likewise.
        device: Likewise.

    Raises:
        ValueError: The model reads no captions.
    """

    def __init__(self, model=None, *, config=None, device=None) -> None:
        super().__init__(model, config=config, device=device)
        if not self.reads_captions:
            raise ValueError(
                f'{self.checkpoint} holds a {type(self.model).__name__}, '
                'which reads names but no captions: take a GLIP, or '
                'mmclip.detect with names'
            )

    def __call__(
        self, image, caption=None, phrases: Sequence[str] | None = None, **kw
    ):
        """Find the phrases of a caption.

        Args:
            image: One or many, as of :func:`mmclip.inference.detector.detect`.
            caption: A sentence; or names, as there.
            phrases: Parts of the caption to look for; None lets our splitter
                find them (:mod:`mmclip.glip.noun_phrases`).
            kw: As ``options`` there.

        Returns:
            As there; ``labels`` are phrases.

        Raises:
            ValueError: The caption has no phrase, or not one of ``phrases``.
        """
        return super().__call__(image, (caption, phrases), **kw)

    def asked(self, text) -> dict:
        """Return the fields by which a data sample asks for a caption.

        Args:
            text: Caption, and phrases or None; or the caption alone.
        """
        caption, phrases = text if isinstance(text, tuple) else (text, None)
        if phrases is None:
            return super().asked(caption)
        if not isinstance(caption, str):
            raise ValueError(
                'phrases are parts of a caption, but names were given: leave '
                'phrases out'
            )
        spans = [spans_of(phrase, caption) for phrase in phrases]
        return dict(
            text=caption,
            tokens_positive=dict(enumerate(spans)),
            asked_phrases=list(zip(phrases, spans)),
        )

    def draw(self, image, found: dict, min_side: int = 512):
        """Draw what was found, and the caption with its phrases in colour.

        Args:
            image: The image that was asked about.
            found: What was found in it.
            min_side: As of :func:`mmclip.visualization.draw_detections`.

        Returns:
            uint8 RGB (H', W', 3).
        """
        from mmclip.inference.image import load_image
        from mmclip.visualization import draw_found

        return draw_found(load_image(image), found, min_side)


def spans_of(phrase: str, caption: str) -> list[list[int]]:
    """Return where a caption says a phrase, as whole words in any case.

    Raises:
        ValueError: Nowhere.
    """
    pattern = rf'(?<!\w){re.escape(phrase.strip())}(?!\w)'
    found = re.finditer(pattern, caption, re.IGNORECASE)
    spans = [list(match.span()) for match in found if phrase.strip()]
    if not spans:
        raise ValueError(
            f"the caption does not say '{phrase}': {caption!r}; phrases are "
            'parts of it, word for word'
        )
    return spans
