"""Turn token ids back into text."""

from collections.abc import Sequence

from mmclip.glip.tokenizer import (
    CLIPSpanTokenizer,
    SpanTokenizer,
    WordPieceTokenizer,
)

TIGHT = '.,;:!?'  # signs that no space stands before


def spell(tokenizer: SpanTokenizer, ids: Sequence[int]) -> str:
    """Return the text of tokens; special ones are left out.

    Args:
        tokenizer: The one that made them.
        ids: Of the tokens.

    Raises:
        TypeError: The tokenizer is of an unknown kind.
        ValueError: An id does not exist.
    """
    if isinstance(tokenizer, WordPieceTokenizer):
        text = word_pieces(tokenizer, ids)
    elif isinstance(tokenizer, CLIPSpanTokenizer):
        known = tokenizer.bpe is None
        text = (whole_words if known else byte_pairs)(tokenizer, ids)
    else:
        raise TypeError(
            f'{type(tokenizer).__name__} cannot be spelt: expected '
            'WordPieceTokenizer or CLIPSpanTokenizer'
        )
    for sign in TIGHT:
        text = text.replace(f' {sign}', sign)
    return text


def word_pieces(tokenizer: WordPieceTokenizer, ids: Sequence[int]) -> str:
    """Join WordPieces."""
    table = {number: piece for piece, number in tokenizer.vocab.items()}
    pieces = [table[i] for i in found_in(table, ids)]
    text = ' '.join(p for p in pieces if p not in tokenizer.SPECIAL)
    return text.replace(' ##', '')


def byte_pairs(tokenizer: CLIPSpanTokenizer, ids: Sequence[int]) -> str:
    """Join CLIP's byte pairs."""
    bpe = tokenizer.bpe
    pairs = [
        bpe.decoder[i]
        for i in found_in(bpe.decoder, ids)
        if i not in bpe.all_special_ids
    ]
    letters = ''.join(pairs).replace('</w>', ' ').strip()
    raw = bytes(
        byte
        for letter in letters
        for byte in ([32] if letter == ' ' else [bpe.byte_decoder[letter]])
    )
    return raw.decode('utf8', errors='replace')


def whole_words(tokenizer: CLIPSpanTokenizer, ids: Sequence[int]) -> str:
    """Join the words of shapes-clip; ids that are no word are left out."""
    table = {tuple(row): w for w, row in tokenizer.source.words.items()}
    longest = max(map(len, table))
    special = {tokenizer.start, tokenizer.end, tokenizer.pad}
    found_in(special | {i for row in table for i in row}, ids)
    words, start = [], 0
    while start < len(ids):
        for size in range(longest, 0, -1):
            word = table.get(tuple(ids[start : start + size]))
            if word is not None:
                words.append(word)
                break
        start += size
    return ' '.join(words)


def found_in(known, ids: Sequence[int]) -> Sequence[int]:
    """Return ids of which all are known."""
    if lost := [i for i in ids if i not in known]:
        raise ValueError(
            f'the tokenizer does not know the ids {lost}: give the head the '
            'vocab_size of its tokenizer'
        )
    return ids
