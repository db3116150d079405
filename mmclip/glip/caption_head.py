"""Tell what an image shows, word by word.

B images, L tokens, W width of words, V ids.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.glip.beam_search import beam_search
from mmclip.glip.losses import MaskedWordHead
from mmclip.glip.spelling import spell
from mmclip.glip.tower import VLDyHead
from mmclip.glip.word_tower import check_tower, read_on, remember, repeated
from mmclip.registry import MODELS


@MODELS.register_module()
class CaptionHead(MaskedWordHead):
    """Guess the next word of a caption (GLIPv2, sec. 3.1).

    The words come from the fused tower, in which a word reads the image and
    the words before it, and the image no words (see
    :mod:`mmclip.glip.word_tower`). The layers are those of BERT's prediction
    head; the authors' were not published.

    Args:
        language_dim: W.
        vocab_size: V.
        max_length: Most tokens of a caption that is written.
        beam_size: Captions that are weighed at a time; 1 is greedy.
        length_penalty: See :func:`mmclip.glip.beam_search.beam_search`.
        label_smoothing: Share of the target that is spread over all ids.
        **kwargs: As for :class:`mmclip.glip.losses.MaskedWordHead`.
    """

    def __init__(
        self,
        language_dim: int = 768,
        vocab_size: int = 30522,
        *,
        max_length: int = 20,
        beam_size: int = 1,
        length_penalty: float = 0.0,
        label_smoothing: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(language_dim, vocab_size, **kwargs)
        if max_length < 1 or beam_size < 1:
            raise ValueError(
                f'got max_length={max_length} and beam_size={beam_size}: '
                'expected 1 or more of both'
            )
        self.max_length, self.beam_size = max_length, beam_size
        self.length_penalty = length_penalty
        self.label_smoothing = label_smoothing

    def check(self, tower: VLDyHead, language) -> None:
        """Refuse a model whose captions could not be written.

        Raises:
            ValueError: The tower has no fusion that words read, the language
                model has fewer tokens or another number of ids.
            TypeError: The language model cannot read word by word.
        """
        check_tower(tower)
        if not hasattr(language, 'read'):
            raise TypeError(
                f'{type(language).__name__} cannot read word by word: '
                'captions need mmclip.GLIPBert'
            )
        most, size = language.max_tokens, language.vocab_size
        if self.max_length >= most or len(self.bias) != size:
            raise ValueError(
                f'max_length={self.max_length} and vocab_size='
                f'{len(self.bias)}, but the language model reads {most} '
                f'tokens of {size} ids: expected fewer tokens and as many ids'
            )

    def teach(
        self,
        tower: VLDyHead,
        language,
        levels: Sequence[Tensor],
        captions: Sequence[str],
    ) -> Tensor:
        """Return the loss of B captions, each word from the true ones before.

        Args:
            tower: Of the box head.
            language: A :class:`mmclip.glip.bert.GLIPBert`.
            levels: Of the neck (B, C, h, w).
            captions: B texts.

        Raises:
            ValueError: A caption is empty, or longer than the language model
                reads.
        """
        check_captions(captions, language)
        ids, masks = language.tokenizer(list(captions))  # (B, L)
        ids, masks = ids.to(self.bias.device), masks.to(self.bias.device)
        words = language.read(ids[:, :-1], masks[:, :-1], causal=True)
        fused = read_on(tower, remember(tower, levels), words['hidden'])
        told = masks[:, 1:]  # what is to be guessed, the end included
        loss = F.cross_entropy(
            self(fused[told]).float(),
            ids[:, 1:][told],
            label_smoothing=self.label_smoothing,
        )
        return self.loss_weight * loss

    @torch.no_grad()
    def tell(
        self, tower: VLDyHead, language, levels: Sequence[Tensor]
    ) -> list[tuple[str, float]]:
        """Write a caption of each image.

        The image's side of the tower runs once, whatever the length.

        Returns:
            Captions with their log-probabilities, B.
        """
        tokenizer = language.tokenizer
        kept = repeated(remember(tower, levels), self.beam_size)

        def step(ids: Tensor) -> Tensor:
            words = language.read(ids, torch.ones_like(ids), causal=True)
            return self(read_on(tower, kept, words['hidden'])[:, -1])

        sentences, scores = beam_search(
            step,
            len(levels[0]),
            start=tokenizer.start,
            end=tokenizer.end,
            max_length=self.max_length,
            beam_size=self.beam_size,
            length_penalty=self.length_penalty,
            never=(tokenizer.start, tokenizer.pad),
            device=levels[0].device,
        )
        texts = [spell(tokenizer, ids) for ids in sentences]
        return list(zip(texts, scores))


def check_captions(captions: Sequence[str], language) -> None:
    """Refuse captions that cannot be learnt."""
    for caption in captions:
        if not isinstance(caption, str) or not caption.strip():
            raise ValueError(
                f'got the caption {caption!r}: expected a text with words'
            )
        count = language.tokenizer.count(caption) + 2
        most = language.max_tokens
        if count > most and not language.tokenizer.truncate:
            raise ValueError(
                f'a caption to be learnt has {count} tokens, but the language '
                f'model reads {most}: {caption[:60]!r}...; shorten it, or '
                'pass truncate=True to the language model'
            )
