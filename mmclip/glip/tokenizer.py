"""Turn captions into token ids that know which characters they stand for.

B captions, L tokens of a caption, special ones included.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mmclip.clip.tokenizer import CLIPTokenizer
from mmclip.registry import TASK_UTILS

Piece = tuple[int, int, int]  # id, first character, character after the last
LONGEST_WORD = 100  # characters; a longer word is unknown, as in BERT
MOST_KNOWN = 200_000  # words kept with their pieces
CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class Encoding(NamedTuple):
    """The tokens of one caption.

    Attributes:
        ids: L ids.
        spans: Of each token the half-open ``(start, stop)`` of its characters
            in the caption; ``(0, 0)`` for a special token.
    """

    ids: list[int]
    spans: list[tuple[int, int]]

    def by_character(self, last: bool = False) -> dict[int, int]:
        """Return the token of each character that has one.

        Args:
            last: Whether of several tokens of one character the last is
                meant; the first by default.
        """
        numbered = list(enumerate(self.spans))
        return {
            character: position
            for position, (start, stop) in (
                numbered if last else reversed(numbered)
            )
            for character in range(start, stop)
        }


class SpanTokenizer:
    """Encode captions, one after another or as a padded batch.

    A subclass says what the tokens are (:meth:`pieces`).

    Args:
        start: Id of the token before a caption.
        end: Id of the token behind it.
        pad: Id that fills shorter captions of a batch.
        max_tokens: Most tokens of a caption, start and end included.
        truncate: Whether a caption that does not fit is cut, as published,
            instead of refused. What the lost words name is never found.
    """

    def __init__(
        self,
        start: int,
        end: int,
        pad: int,
        *,
        max_tokens: int = 256,
        truncate: bool = False,
    ) -> None:
        self.start, self.end, self.pad = start, end, pad
        self.max_tokens = max_tokens
        self.truncate = truncate

    def pieces(self, text: str) -> Iterable[Piece]:
        """Yield the tokens of a text without the special ones."""
        raise NotImplementedError

    def count(self, text: str) -> int:
        """Return how many tokens a text has without the special ones."""
        return sum(1 for _ in self.pieces(text))

    def encode(self, text: str) -> Encoding:
        """Return ids and characters of a caption's tokens.

        Raises:
            ValueError: The caption is too long and ``truncate`` is off.
        """
        pieces = list(self.pieces(text))
        room = self.max_tokens - 2
        if len(pieces) > room and not self.truncate:
            raise ValueError(
                f'a caption has {len(pieces) + 2} tokens but the language '
                f'model reads {self.max_tokens}: {text[:60]!r}...; shorten '
                'it, pass names as a list (lists are cut into chunks), train '
                'with mmclip.SampleNegativeClasses or '
                'mmclip.PackNegativeCaptions, or pass truncate=True'
            )
        pieces = pieces[:room]
        return Encoding(
            [self.start, *(piece[0] for piece in pieces), self.end],
            [(0, 0), *(piece[1:] for piece in pieces), (0, 0)],
        )

    def __call__(
        self, texts: Sequence[str], length: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode and pad B captions.

        Args:
            texts: The captions.
            length: L; the longest caption's by default.

        Returns:
            ids: int64 (B, L).
            masks: bool (B, L), true for tokens, false for padding.
        """
        rows = [self.encode(text).ids for text in texts]
        length = length or max(map(len, rows), default=0)
        ids = torch.full((len(rows), length), self.pad)  # (B, L)
        masks = torch.zeros(len(rows), length, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            masks[i, : len(row)] = True
        return ids, masks


@TASK_UTILS.register_module()
class WordPieceTokenizer(SpanTokenizer):
    """Encode captions with BERT's uncased WordPieces.

    Cleans, lower-cases and strips accents letter by letter, so every token
    knows its characters; splits at white space, punctuation and around CJK
    signs; takes the longest known piece first (BERT, ``##`` inside a word).
    Special tokens written in a caption, such as ``[MASK]``, are kept.

    Args:
        vocab_file: ``vocab.txt`` with a piece a line, or the pieces in the
            order of their ids, or a dict from pieces to ids.
        max_tokens: As in :class:`SpanTokenizer`.
        truncate: Likewise.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A special token is not in the vocabulary.
    """

    SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')

    def __init__(
        self,
        vocab_file: str | PathLike | Sequence[str] | Mapping[str, int],
        *,
        max_tokens: int = 256,
        truncate: bool = False,
    ) -> None:
        self.vocab = read_vocabulary(vocab_file)
        lost = [name for name in self.SPECIAL if name not in self.vocab]
        if lost:
            raise ValueError(
                f'the vocabulary of {len(self.vocab)} pieces lacks {lost}: '
                "expected BERT's vocab.txt, or a list with the special tokens "
                f'{list(self.SPECIAL)}'
            )
        super().__init__(
            self.vocab['[CLS]'],
            self.vocab['[SEP]'],
            self.vocab['[PAD]'],
            max_tokens=max_tokens,
            truncate=truncate,
        )
        self.unknown, self.mask = self.vocab['[UNK]'], self.vocab['[MASK]']
        self.known: dict[str, list[Piece]] = {}  # words met before
        special = '|'.join(map(re.escape, self.SPECIAL))
        self.special = re.compile(f'({special})')

    def __len__(self) -> int:
        """Return the number of ids."""
        return max(self.vocab.values()) + 1

    def pieces(self, text: str) -> Iterator[Piece]:
        """Yield the tokens of a text without the ones around it."""
        start = 0
        for part in self.special.split(text):
            if part in self.SPECIAL:
                yield self.vocab[part], start, start + len(part)
            else:
                for word, places in words(part):
                    for token, first, last in self.split(word):
                        yield (
                            token,
                            start + places[first],
                            start + places[last] + 1,
                        )
            start += len(part)

    def split(self, word: str) -> list[Piece]:
        """Return ids, first and last letter of the pieces of a word."""
        if word not in self.known:
            if len(self.known) > MOST_KNOWN:
                self.known.clear()
            whole = [(self.unknown, 0, len(word) - 1)]
            found = self.longest_first(word)
            self.known[word] = whole if found is None else found
        return self.known[word]

    def longest_first(self, word: str) -> list[Piece] | None:
        """Return the pieces of a word; None where it has unknown parts."""
        if len(word) > LONGEST_WORD:
            return None
        found, start = [], 0
        while start < len(word):
            prefix = '##' if start else ''
            for stop in range(len(word), start, -1):
                token = self.vocab.get(prefix + word[start:stop])
                if token is not None:
                    break
            else:
                return None
            found.append((token, start, stop - 1))
            start = stop
        return found


def read_vocabulary(source) -> dict[str, int]:
    """Return the id of each piece; see :class:`WordPieceTokenizer`."""
    if isinstance(source, Mapping):
        return dict(source)
    if isinstance(source, str | PathLike):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(
                f'there is no vocabulary at {path}: give the vocab.txt of '
                "bert-base-uncased (30522 lines), which lies beside BERT's "
                'published weights'
            )
        source = path.read_text(encoding='utf8').split('\n')
        source = source[:-1] if source[-1] == '' else source
    return {piece.rstrip('\r'): k for k, piece in enumerate(source)}


def words(text: str) -> Iterator[tuple[str, list[int]]]:
    """Yield normalised words, and the place in ``text`` of each letter."""
    letters, places = [], []
    for place, character in enumerate(text):
        if is_dropped(character):
            continue
        for letter in normalised(character):
            apart = is_apart(letter)
            if letters and (apart or letter == ' '):
                yield ''.join(letters), places
                letters, places = [], []
            if apart:
                yield letter, [place]
            elif letter != ' ':
                letters.append(letter)
                places.append(place)
    if letters:
        yield ''.join(letters), places


def normalised(character: str) -> str:
    """Return a character in lower case without accents; a space for any."""
    if character.isspace():
        return ' '
    plain = unicodedata.normalize('NFD', character)
    return ''.join(
        letter.lower()
        for letter in plain
        if unicodedata.category(letter) != 'Mn'
    )


def is_dropped(character: str) -> bool:
    """Tell whether BERT cleans a character away."""
    if character in '\t\n\r':
        return False
    control = unicodedata.category(character).startswith('C')
    return control or character == '\ufffd'


def is_apart(letter: str) -> bool:
    """Tell whether a letter is a word of its own: punctuation or CJK."""
    code = ord(letter)
    if code < 128:
        return 32 < code < 127 and not letter.isalnum()
    if unicodedata.category(letter).startswith('P'):
        return True
    return any(first <= code <= last for first, last in CJK)


@TASK_UTILS.register_module()
class CLIPSpanTokenizer(SpanTokenizer):
    """Encode captions with a CLIP's tokens, as ids that know their letters.

    Args:
        source: A :class:`mmclip.clip.tokenizer.CLIPTokenizer`, the tokenizer
            of shapes-clip, ``'shapes-clip'`` for that one, or None for CLIP's
            own.
        max_tokens: As in :class:`SpanTokenizer`; the context of ``source`` by
            default.
        truncate: Likewise.
    """

    WORD = re.compile(r'\S+')
    SHAPES_WORD = re.compile(r'[^\W\d_]+|\S')

    def __init__(
        self,
        source=None,
        *,
        max_tokens: int | None = None,
        truncate: bool = False,
    ) -> None:
        if source == 'shapes-clip':
            from mmclip.clip.shapes_clip import shapes_tokenizer

            source = shapes_tokenizer()
        self.source = source or CLIPTokenizer()
        self.bpe = getattr(self.source, 'bpe', None)
        if self.bpe is None:
            start, end = self.source.start, self.source.end
        else:
            start, end = self.bpe.all_special_ids[:2]
        super().__init__(
            start,
            end,
            0,
            max_tokens=max_tokens or self.source.context_length,
            truncate=truncate,
        )

    def pieces(self, text: str) -> Iterator[Piece]:
        """Yield the tokens of a text without start and end."""
        split = self.WORD if self.bpe else self.SHAPES_WORD
        for match in split.finditer(text):
            word = match[0]
            tokens = self.byte_pairs(word) if self.bpe else self.whole(word)
            for token, start, stop in tokens:
                yield token, match.start() + start, match.start() + stop

    def whole(self, word: str) -> list[Piece]:
        """Return the tokens of a word, each standing for all of it."""
        ids = self.source.encode(word)[1:-1]
        return [(token, 0, len(word)) for token in ids]

    def byte_pairs(self, word: str) -> list[Piece]:
        """Return CLIP's byte pairs of a word and the letters of each.

        Where cleaning changes the length of the word (``&amp;``, repaired
        encodings), each stands for all of it.
        """
        clean = self.bpe.clean_fn(word)
        if len(clean) != len(word):
            return [(i, 0, len(word)) for i in self.bpe.encode(word)]
        letters = [
            place
            for place, letter in enumerate(clean)
            for _ in letter.encode()
            if not letter.isspace()
        ]  # of each byte
        found, byte = [], 0
        for token in self.bpe.encode(word):
            size = len(self.bpe.decoder[token].removesuffix('</w>'))
            first, last = letters[byte], letters[byte + size - 1]
            found.append((token, first, last + 1))
            byte += size
        return found


def build_tokenizer(source) -> SpanTokenizer:
    """Return the tokenizer that a config or an argument means.

    Args:
        source: A tokenizer; a config of one; ``'clip'``; ``'shapes-clip'``;
            or the path of BERT's ``vocab.txt``.
    """
    if isinstance(source, SpanTokenizer):
        return source
    if isinstance(source, Mapping):
        return TASK_UTILS.build(dict(source))
    if source in ('clip', 'shapes-clip'):
        return CLIPSpanTokenizer(None if source == 'clip' else source)
    return WordPieceTokenizer(source)
