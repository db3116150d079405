"""Find the phrases of a caption that a box may answer to.

A phrase is the paper's: an article or such, adjectives, nouns (sec. 3.3 takes
nltk's ``<DT>?<JJ.*>*<NN.*>+``). Ours needs no package: words of closed
classes end a phrase, and a word that may be a verb is one where its place
says so. It is for English captions; others may be split with spaCy.
"""

import re
from collections.abc import Callable

from mmclip.clip.english import (
    ADJECTIVES,
    CLOSED_CLASSES,
    LY_NOUNS,
    listed,
)

Span = tuple[int, int]
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|\S")
NO_PHRASE = re.compile(
    r'\b(?:in front|on top|at the (?:top|bottom|end|side|edge)'
    r'|in the (?:middle|center|centre|background|foreground|distance|corner)'
    r'|on the (?:left|right|side|edge))\b'
    r'|\b(?:(?:an?|the|this|some)\s+)?(?:[\w-]+\s+)?(?:photo(?:graph)?'
    r'|picture|image|view|shot|drawing|close-?up|group|couple|pair|bunch|lot'
    r'|number|variety|kind|sort|type|row|pile|stack|piece|set)s?\s+of\b'
    r'|\bclose-?up of\b',
    re.IGNORECASE,
)
ARTICLES = listed(
    'a an the this that these those some any no each every another both all'
)
MAY_BE_NOUN = listed('square light orange metal')
MORE_COLOURS = listed(
    'cyan magenta beige violet turquoise teal maroon tan navy lavender'
)
GERUND_NOUNS = listed("""
building ceiling clothing painting railing evening morning king ring string
wing spring swing thing pudding sibling wedding crossing flooring seating
landing lighting icing stocking dressing bedding awning sling
""")
ED_NOUNS = listed('bed shed sled seed weed feed speed breed steed moped')
VERBS = listed("""
sit stand walk run ride play hold wear eat drink look watch jump fly swim lie
lay lean hang carry throw catch hit kick swing pull push drive park cross
climb sleep rest graze talk read write cook cut wait pose perform travel move
point reach turn face show take make get go come bring give put pass surf ski
skate race chase feed pet bark smile laugh sing dance kiss hug fight work sell
buy shop cover fill surround contain include feature cut use open close enjoy
gather line land touch prepare serve attempt try help follow meet keep leave
approach appear seem hover grow bloom float roll slide spin lick bite chew
blow sniff stare gaze kneel crouch bend stretch wave shake shine burn say
""")
PAST = listed("""
sat stood held wore rode ran ate drank threw caught made took lay hung drove
slept swam flew got went came brought gave put kept left met sang fought grew
spun bit knelt shook shone said seen shown taken made worn held built hung
eaten ridden driven thrown given
""")
BEFORE_VERBS = listed('to they we you i who which that')
PLURALS = listed('people men women children kids geese mice sheep fish police')


def noun_phrases(caption: str) -> list[Span]:
    """Return the half-open character spans of a caption's noun phrases.

    Example:
        >>> caption = 'a man walks a small dog'
        >>> [caption[start:end] for start, end in noun_phrases(caption)]
        ['a man', 'a small dog']
    """
    hidden = NO_PHRASE.sub(lambda m: '|' * len(m[0]), caption)
    found, current, before = [], Phrase(), ''
    matches = list(WORD.finditer(hidden.lower()))
    if len(hidden.lower()) != len(hidden):  # such as the Turkish capital I
        matches = list(WORD.finditer(hidden))
    for match, after in zip(matches, [*matches[1:], None]):
        word, own = strip_owner(match[0].lower())
        following = after[0].lower() if after else ''
        kind = kind_of(word, current, before, following)
        if kind in ('end', 'article') or (
            kind == 'adjective' and current.head
        ):
            found += current.close()
            current = Phrase()
        if kind != 'end':
            start = match.start()
            current.words.append((start, start + len(word), kind, word))
        before = word
        if own:
            found += current.close()
            current = Phrase()
    return found + current.close()


def strip_owner(word: str) -> tuple[str, bool]:
    """Cut the genitive off a word, and say whether there was one."""
    bare = re.sub(r"['’]s?$", '', word)
    return bare or word, bool(bare) and bare != word


class Phrase:
    """Collect the words of a phrase: ``(start, stop, kind, word)``."""

    def __init__(self) -> None:
        self.words: list[tuple[int, int, str, str]] = []

    @property
    def head(self) -> str:
        """Return the last noun so far, or ''."""
        nouns = [word for *_, kind, word in self.words if kind == 'noun']
        return nouns[-1] if nouns else ''

    @property
    def article(self) -> str:
        """Return the article, or ''."""
        first = self.words[0] if self.words else (0, 0, '', '')
        return first[3] if first[2] == 'article' else ''

    def close(self) -> list[Span]:
        """Return the span of the phrase up to its last noun, if any."""
        words = list(self.words)
        while words and words[-1][2] != 'noun':
            words.pop()
        return [(words[0][0], words[-1][1])] if words else []


def kind_of(word: str, phrase: Phrase, before: str, following: str) -> str:
    """Return 'article', 'adjective', 'noun', or 'end' for all that is none.

    Args:
        word: In lower case.
        phrase: The words of its phrase so far.
        before: The word before it, '' at the start.
        following: The next word, '' at the end.
    """
    goes_on = is_content(following)
    if word in ARTICLES:
        return 'article'
    if not is_content(word):
        return 'end'
    if word in MAY_BE_NOUN:
        return 'noun' if phrase.head or not goes_on else 'adjective'
    if word in ADJECTIVES or word in MORE_COLOURS:
        return 'adjective'
    if is_adverb(word):
        return 'end'
    return participle(word, phrase, goes_on) or (
        'end' if is_verb(word, phrase, before, goes_on) else 'noun'
    )


def is_content(word: str) -> bool:
    """Tell whether a word may belong to a phrase."""
    letters = word[:1].isalpha() and not (len(word) == 1 and word.isascii())
    return letters and word not in CLOSED_CLASSES


def is_adverb(word: str) -> bool:
    """Tell whether a word looks like an adverb."""
    return len(word) > 4 and word.endswith('ly') and word not in LY_NOUNS


def participle(word: str, phrase: Phrase, goes_on: bool) -> str | None:
    """Return the kind of a word in -ing or -ed; None for any other.

    After a noun it says what that does (``a man riding ...``); after an
    article or an adjective, or before a noun, it is an adjective.
    """
    gerund = word.endswith('ing') and word not in GERUND_NOUNS
    past = word.endswith('ed') and word not in ED_NOUNS
    if len(word) < 5 or not (gerund or past):
        return None
    if phrase.head:
        return 'end'
    if phrase.words:
        return 'adjective' if goes_on else 'noun'
    return 'adjective' if goes_on and past else 'end'


def is_verb(word: str, phrase: Phrase, before: str, goes_on: bool) -> bool:
    """Tell whether a word in this place is a verb."""
    head, article = phrase.head, phrase.article
    if word in PAST:
        return bool(head) or not phrase.words
    stems = {word.removesuffix('s'), word.removesuffix('es')}
    stems |= (
        {word.removesuffix('ies') + 'y'} if word.endswith('ies') else set()
    )
    if not head:  # 'a dog that sits', 'to blow out'
        bare = before != 'that' and word in VERBS
        third = word.endswith('s') and bool(stems & VERBS)
        return before in BEFORE_VERBS and (bare or third)
    plural = head in PLURALS or (
        head.endswith('s') and not head.endswith(('ss', 'us', 'is'))
    )
    if word in VERBS:
        return plural
    ends = word.endswith('s') and not word.endswith(('ss', 'us', 'is'))
    one = article in ('a', 'an') and not plural
    return ends and (bool(stems & VERBS) or (one and not goes_on))


def phrases_by_nltk(caption: str) -> list[Span]:
    """Return the spans that nltk's tagger and the paper's grammar find."""
    try:
        import nltk
    except ImportError as error:
        raise ImportError(
            "splitter='nltk' needs the package nltk: pip install nltk, then "
            "nltk.download('averaged_perceptron_tagger_eng') once; "
            "splitter='rules' needs neither"
        ) from error
    matches = list(WORD.finditer(caption))
    tagged = nltk.pos_tag([match[0].lower() for match in matches])
    tags = ''.join(letter_of(tag) for _, tag in tagged)
    return [
        (matches[m.start()].start(), matches[m.end() - 1].end())
        for m in re.finditer('D?J*N+', tags)
    ]


def letter_of(tag: str) -> str:
    """Return D, J or N for the Penn tags of the paper's grammar, else x."""
    kinds = {'DT': 'D', 'JJ': 'J', 'NN': 'N'}
    return kinds.get(tag[:2], 'x') if tag != 'PDT' else 'x'


class PhrasesBySpacy:
    """Return the spans of spaCy's noun chunks.

    Args:
        model: Name or folder of an installed spaCy pipeline.
    """

    def __init__(self, model: str = 'en_core_web_sm') -> None:
        try:
            import spacy
        except ImportError as error:
            raise ImportError(
                "splitter='spacy' needs the package spacy and a pipeline: "
                f'pip install spacy && python -m spacy download {model}; '
                "splitter='rules' needs neither"
            ) from error
        self.pipeline = spacy.load(model)

    def __call__(self, caption: str) -> list[Span]:
        """Return the spans of a caption's noun chunks."""
        chunks = self.pipeline(caption).noun_chunks
        return [(chunk.start_char, chunk.end_char) for chunk in chunks]


def splitter_of(splitter: str | Callable) -> Callable[[str], list[Span]]:
    """Return the function of a name, or the function given.

    Args:
        splitter: 'rules', 'nltk', 'spacy', or a function from a caption to
            spans.

    Raises:
        ValueError: The name is unknown.
        ImportError: Its package is absent.
    """
    if callable(splitter):
        return splitter
    if splitter == 'spacy':
        return PhrasesBySpacy()
    known = {'rules': noun_phrases, 'nltk': phrases_by_nltk}
    if splitter not in known:
        raise ValueError(
            f"unknown splitter '{splitter}': expected 'rules', 'nltk', "
            "'spacy', or a function from a caption to spans"
        )
    return known[splitter]
