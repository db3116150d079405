"""A tokenizer of a few words."""

from mmclip.glip.tokenizer import WordPieceTokenizer

SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
WORDS = (
    'a dog ##s man walks two red cat on the street plays hot person car bus '
    'cup traffic light and or bird . , ; -'
)


def tokenizer_of(max_tokens: int = 256, **kwargs) -> WordPieceTokenizer:
    """Return WordPieces of a few words."""
    return WordPieceTokenizer(
        SPECIAL + WORDS.split(), max_tokens=max_tokens, **kwargs
    )
