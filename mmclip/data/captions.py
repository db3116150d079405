"""Decide which captions a contrastive training can learn from."""

import re
import unicodedata

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
LATIN = 0.8  # least share of a caption's letters that English writes
ENGLISH_WORDS = """
a an and are as at by for from has have his her in is it its near next of
off on one or over she he that the their there they this to two under with
"""
FOREIGN_WORDS = """
le la les un une des du et dans sur avec pour est au aux
der die das und ein eine einen einem mit auf im ist von den dem vor
el los las una con y en del por para es al su
il lo gli di che nel nella sul della e per
het een van met op de voor naar
o os uma com na no dos em ao do da
och ett med av pa
i w z
"""
ENGLISH = frozenset(ENGLISH_WORDS.split())
FOREIGN = frozenset(FOREIGN_WORDS.split()) - ENGLISH


def is_english(caption: str) -> bool:
    """Guess whether a caption is English, without a model.

    At least 80 % of its letters must be plain Latin ones, and among its
    little words (articles, prepositions) those of other languages must not
    outnumber the English ones by two or more. So names, numbers and short
    captions pass, and a sentence in another language seldom does.
    """
    text = unicodedata.normalize('NFKC', caption)
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return False
    if sum(c.isascii() for c in letters) < LATIN * len(letters):
        return False
    words = [w.lower() for w in WORD.findall(text)]
    english = sum(w in ENGLISH for w in words)
    foreign = sum(w in FOREIGN for w in words)
    return foreign < english + 2


def caption_fault(caption: str, english_only: bool = True) -> str | None:
    """Return why a caption is of no use, or None.

    ``'empty caption'``: not a letter or digit in it; ``'not English'``: see
    :func:`is_english`.
    """
    if not any(c.isalnum() for c in caption):
        return 'empty caption'
    if english_only and not is_english(caption):
        return 'not English'
    return None
