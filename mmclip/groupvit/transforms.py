"""Make prompts of captions, and token ids of both.

K prompts a caption, L positions.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmclip.clip.prompts import prompt_set
from mmclip.clip.shapes_clip import ShapesTokenizer, read_config
from mmclip.clip.tokenizer import CLIPTokenizer
from mmclip.groupvit.nouns import extractor_of
from mmclip.registry import TRANSFORMS


@TRANSFORMS.register_module()
class NounPrompts(BaseTransform):
    """Write random nouns of the caption into random templates.

    GroupViT, sec. 3.3. A caption with fewer than K nouns fills the rest with
    itself, as published.

    Required: ``caption``. Added: ``sentences``, the caption and its K prompts.

    Args:
        num_prompts: K.
        templates: Prompt set or templates, see
            :func:`mmclip.clip.prompts.prompt_set`.
        extractor: ``'rules'``, ``'nltk'``, ``'phrases'`` (nouns with their
            adjectives) or a function from a caption to words.
        left_out: Words that make no prompt, such as ``'photo'``.
    """

    def __init__(
        self,
        num_prompts: int = 3,
        templates: str | Sequence[str] = 'imagenet',
        extractor: str | Callable[[str], list[str]] = 'rules',
        left_out: Sequence[str] = (),
    ) -> None:
        self.num_prompts = num_prompts
        self.prompts = prompt_set(templates)
        self.extract = extractor_of(extractor)
        self.left_out = frozenset(left_out)

    def transform(self, results: dict) -> dict:
        """Add the sentences."""
        caption = results['caption']
        sentences = [caption, *self.write(self.choose(caption))]
        missing = 1 + self.num_prompts - len(sentences)
        results['sentences'] = sentences + [caption] * missing
        return results

    def choose(self, caption: str) -> list[str]:
        """Return at most K nouns, none twice."""
        nouns = [n for n in self.extract(caption) if n not in self.left_out]
        count = min(self.num_prompts, len(nouns))
        rows = np.random.choice(len(nouns), count, replace=False)
        return [nouns[row] for row in rows] if count else []

    def write(self, nouns: Sequence[str]) -> list[str]:
        """Write each noun into one template."""
        written = map(self.prompts.sentences, nouns)
        return [every[np.random.randint(len(every))] for every in written]


TOKENIZERS = ('clip', 'shapes')


def tokenizer_of(name: str, context_length: int) -> Callable:
    """Return the function from N sentences to ids (N, context_length).

    Args:
        name: ``'clip'``: CLIP's byte pairs, sentences that are too long are
            cut; ``'shapes'``: the words of the shapes world alone.
        context_length: Positions.

    Raises:
        ValueError: The name is unknown.
    """
    if name == 'clip':
        return CLIPTokenizer(context_length=context_length, truncate=True)
    if name == 'shapes':
        config = read_config()
        return ShapesTokenizer(
            config['words'], config['bpe_ids'], context_length
        )
    raise ValueError(
        f"unknown tokenizer '{name}': expected one of {', '.join(TOKENIZERS)}"
    )


@TRANSFORMS.register_module()
class TokenizeSentences(BaseTransform):
    """Turn sentences into token ids; those too long are cut.

    Required: ``sentences``, or ``caption`` where there are none. Added:
    ``tokens``, int64 (1 + K, L).

    Args:
        context_length: L.
        tokenizer: See :func:`tokenizer_of`.
    """

    def __init__(
        self, context_length: int = 77, tokenizer: str = 'clip'
    ) -> None:
        self.tokenizer = tokenizer_of(tokenizer, context_length)

    def transform(self, results: dict) -> dict:
        """Add the ids."""
        sentences = results.get('sentences') or [results['caption']]
        results['tokens'] = self.tokenizer(sentences)
        return results


@TRANSFORMS.register_module()
class PackImageText(BaseTransform):
    """Keep what ``GroupViTPretrainer`` takes.

    Required: ``img``, uint8 (H, W, 3), and ``tokens``. Left: ``inputs``,
    uint8 (3, H, W), and ``tokens``.
    """

    def transform(self, results: dict) -> dict:
        """Return the two."""
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        return dict(inputs=torch.from_numpy(image), tokens=results['tokens'])
