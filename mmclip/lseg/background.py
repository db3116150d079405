"""Score what is none of the other names.

B images, K names, W background words, D embedding width, h x w positions.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clip.vocabulary import Vocabulary
from mmclip.registry import MODELS

KINDS = ('words', 'threshold', 'learnt')


class Background(nn.Module):
    """Stand in for one name of the vocabulary, such as 'background'.

    It acts only while the vocabulary holds that name; the name's own text is
    then not used.

    Args:
        kind: ``'words'``: the best score of several words;
            ``'threshold'``: a constant score, so that a position goes to the
            background where no name's cosine is above it; ``'learnt'``: an
            embedding that is trained (as in ViLD, section 3.3).
        name: The name that it stands for.
        words: For ``'words'``.
        threshold: Cosine, for ``'threshold'``.
        vocabulary: Config of the :class:`mmclip.clip.Vocabulary` that
            encodes the words; the head passes its own.
        embed_dims: D, for ``'learnt'``; the head passes its own.

    Raises:
        ValueError: The kind is none of these, or lacks what it needs.
    """

    def __init__(
        self,
        kind: str,
        *,
        name: str = 'background',
        words: list[str] | None = None,
        threshold: float | None = None,
        vocabulary: dict | None = None,
        embed_dims: int | None = None,
    ) -> None:
        super().__init__()
        self.kind, self.name, self.threshold = kind, name, threshold
        if kind not in KINDS:
            raise ValueError(
                f'background kind={kind!r}: expected one of {KINDS}'
            )
        if (kind == 'words') != bool(words):
            raise ValueError(
                f"background kind={kind!r} with words={words}: 'words' needs "
                "a list such as ['other', 'wall'], the other kinds take none"
            )
        if (kind == 'threshold') != (threshold is not None):
            raise ValueError(
                f'background kind={kind!r} with threshold={threshold}: '
                "'threshold' needs a cosine such as 0.2, the other kinds "
                'take none'
            )
        if kind == 'words':
            self.words: Vocabulary = MODELS.build(
                dict(vocabulary, names=list(words))
            )
        if kind == 'learnt':
            self.embedding = nn.Parameter(torch.empty(embed_dims))
            nn.init.normal_(self.embedding, std=0.01)

    def forward(
        self,
        score: Callable[[Tensor], Tensor],
        like: Tensor,
        factor: Tensor | float,
    ) -> Tensor:
        """Return the background's scores.

        Args:
            score: Takes text embeddings (W, D), returns scores (B, W, h, w).
            like: Any tensor (B, 1, h, w).
            factor: The logit scale, which a threshold is multiplied with.

        Returns:
            Scores (B, 1, h, w).
        """
        if self.kind == 'words':
            each = score(self.words.embeddings)
            return each.max(dim=1, keepdim=True).values
        if self.kind == 'learnt':
            return score(F.normalize(self.embedding, dim=0)[None])
        return torch.ones_like(like) * (self.threshold * factor)
