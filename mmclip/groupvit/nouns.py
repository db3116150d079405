"""Find the words of a caption that name what one may see.

The rules are for English and need no package: words of closed classes,
adverbs and common adjectives are left out, what remains is kept. So verbs
stay, as in the published training, which keeps nouns and verbs.
"""

import re
from collections.abc import Callable

from mmclip.clip.english import ADJECTIVES, CLOSED_CLASSES, LY_NOUNS

WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
LEFT_OUT = CLOSED_CLASSES | ADJECTIVES
TOKEN = re.compile(WORD.pattern + r'|[^\s\w]')


def nouns_by_rules(caption: str) -> list[str]:
    """Return the naming words of a caption, each once, in their order."""
    found = {}
    for match in WORD.finditer(caption.lower().replace('’', "'")):
        word = re.sub(r"'s?$|'(?:ll|re|ve|d|m|t)$", '', match[0])
        if names_something(word):
            found.setdefault(word)
    return list(found)


def names_something(word: str) -> bool:
    """Tell whether the rules keep a lower-case word."""
    if len(word) < 2 or word in LEFT_OUT:
        return False
    adverb = len(word) > 4 and word.endswith('ly') and word.isascii()
    return not adverb or word in LY_NOUNS


def phrases_by_rules(caption: str) -> list[str]:
    """Return the naming words with the adjectives before them, each once.

    ``'a small red ring and a star'`` gives ``'small red ring'`` and
    ``'star'``.
    """
    found, run = {}, []
    for word in [*TOKEN.findall(caption.lower()), '.']:
        noun = names_something(word) and WORD.fullmatch(word)
        if noun or word in ADJECTIVES:
            run.append((word, bool(noun)))
            continue
        while run and not run[-1][1]:
            run.pop()  # adjectives that no noun follows
        if run:
            found.setdefault(' '.join(word for word, _ in run))
        run = []
    return list(found)


def nouns_by_nltk(caption: str) -> list[str]:
    """Return the words that nltk tags as nouns or verbs."""
    try:
        import nltk
    except ImportError as error:
        raise ImportError(
            "extractor='nltk' needs the package nltk: pip install nltk, then "
            "nltk.download('averaged_perceptron_tagger_eng') once; "
            "extractor='rules' needs neither"
        ) from error
    words = WORD.findall(caption.lower())
    tags = ('NN', 'VB')
    kept = [w for w, tag in nltk.pos_tag(words) if tag.startswith(tags)]
    return list(dict.fromkeys(kept))


EXTRACTORS = {
    'rules': nouns_by_rules,
    'phrases': phrases_by_rules,
    'nltk': nouns_by_nltk,
}


def extractor_of(
    extractor: str | Callable[[str], list[str]],
) -> Callable[[str], list[str]]:
    """Return the function of a name, or the function given.

    Raises:
        ValueError: The name is unknown.
    """
    if callable(extractor):
        return extractor
    if extractor not in EXTRACTORS:
        raise ValueError(
            f"unknown extractor '{extractor}': expected one of "
            f'{", ".join(EXTRACTORS)}, or a function from a caption to words'
        )
    return EXTRACTORS[extractor]
