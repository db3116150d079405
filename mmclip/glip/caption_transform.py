"""What transforms that write captions have in common: how long one may be."""

from functools import cached_property

from mmcv.transforms import BaseTransform

from mmclip.glip.tokenizer import SpanTokenizer, build_tokenizer


class CaptionTransform(BaseTransform):
    """Write captions of at most so many tokens.

    The tokenizer is read when the first image comes, as GLIPBert does, so a
    config builds where the vocabulary is not.

    Args:
        tokenizer: See :func:`mmclip.glip.tokenizer.build_tokenizer`.
        max_tokens: Of a caption; by default the tokenizer's.
    """

    def __init__(self, tokenizer, max_tokens: int | None = None) -> None:
        self.source, self.limit = tokenizer, max_tokens

    @cached_property
    def tokenizer(self) -> SpanTokenizer:
        """Return the tokenizer."""
        return build_tokenizer(self.source)

    @cached_property
    def max_tokens(self) -> int:
        """Return the most tokens of a caption."""
        return self.limit or self.tokenizer.max_tokens
