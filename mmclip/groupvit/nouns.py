"""Find the words of a caption that name what one may see.

The rules are for English and need no package: words of closed classes,
adverbs and common adjectives are left out, what remains is kept. So verbs
stay, as in the published training, which keeps nouns and verbs.
"""

import re
from collections.abc import Callable

WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
CLOSED_CLASSES = """
a an the this that these those some any no every each either neither both
all half such what which whose i me my mine we us our ours you your yours
he him his she her hers it its they them their theirs one ones myself
yourself himself herself itself themselves who whom someone something
anyone anything nobody nothing everyone everything other others another
aboard about above across after against along amid among around as at
before behind below beneath beside besides between beyond by despite down
during except for from in inside into like near of off on onto out outside
over past per since than through throughout till to toward towards under
until unto up upon via with within without and or nor but so yet if then
because although though while when where why how whether be am is are was
were been being do does did done doing have has had having will would
shall should can could may might must not only just also too very quite
rather really still even ever never always often again here there now away
back together apart more most less least much many few several enough
two three four five six seven eight nine ten hundred thousand first second
third last next vs etc via s t re ve ll d m don isn aren
"""
ADJECTIVES = """
black white red green blue yellow orange brown pink purple grey gray
golden silver dark bright light colorful colourful striped spotted plain
big small large little tiny huge tall short long wide narrow thick thin
high low deep old new young ancient modern fresh dirty clean dry wet hot
cold warm cool good bad great nice beautiful pretty cute lovely happy sad
funny empty full open closed same different similar own various whole
upper lower left right front rear real fake hard soft heavy wooden metal
round square best better worst free available many live royalty
"""
NOUNS_IN_LY = """
belly bully butterfly family fly holly italy jelly lily monopoly ally assembly
july
"""
LEFT_OUT = frozenset(CLOSED_CLASSES.split() + ADJECTIVES.split())
QUALITIES = frozenset(ADJECTIVES.split())
TOKEN = re.compile(WORD.pattern + r'|[^\s\w]')
LY_NOUNS = frozenset(NOUNS_IN_LY.split())


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
        if noun or word in QUALITIES:
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
