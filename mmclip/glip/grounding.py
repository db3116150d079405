"""Say which words of a caption stand for which label.

K labels of an image, R rows: spans of a caption, several may share a label,
L tokens. A span is half-open ``[start, stop)`` characters; a row has a list
of them (``tokens_positive`` of mmdet and MDETR).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from mmclip.glip.token_maps import Spans, token_map
from mmclip.glip.tokenizer import SpanTokenizer

SEPARATOR = '. '


@dataclass(frozen=True)
class Grounding:
    """A caption and its labels.

    Attributes:
        caption: What the language model reads.
        spans: Of each of R rows its spans in the caption.
        labels: Of each row the label that it stands for, R.
        names: Of each label what it is called, K; chunks of one list share
            them.
    """

    caption: str
    spans: list[Spans]
    labels: list[int]
    names: list[str]

    def token_map(self, tokenizer: SpanTokenizer, length=None) -> Tensor:
        """Return which tokens each row has, bool (R, L).

        Args:
            tokenizer: The language model's.
            length: L; that of the encoded caption by default.
        """
        return token_map(tokenizer.encode(self.caption), self.spans, length)


def clean_name(name: str) -> str:
    """Return a class name as GLIP writes it into a caption.

    What stands in parentheses goes, ``_`` becomes a space, two spaces become
    one (once); a name of parentheses alone stays.
    """
    bare = re.sub(r'\(.*\)', '', name).replace('_', ' ').replace('  ', ' ')
    return bare if bare.strip() else name


def check_spans(caption: str, spans: Sequence[Spans]) -> None:
    """Refuse spans that are not in the caption; they may overlap.

    Raises:
        ValueError: A span is empty, reversed or outside.
    """
    for row, own in enumerate(spans):
        for span in own:
            start, stop = span
            if not 0 <= start < stop <= len(caption):
                raise ValueError(
                    f'phrase {row} stands at characters [{start}, {stop}) '
                    f'of a caption of {len(caption)}: {caption[:60]!r}; '
                    'expected 0 <= start < stop <= its length. Spans count '
                    'the characters of this caption, not of an edited one'
                )


def join_names(
    names: Sequence[str], prompts: Mapping[str, Mapping] | None = None
) -> tuple[str, list[Spans]]:
    """Write names into one caption, ``'. '`` between them.

    Args:
        names: At least one; cleaned here.
        prompts: Of some names, by the given or the cleaned name, ``prefix``,
            ``name`` and ``suffix`` (each may be absent) to write instead;
            only the name itself is marked (ODinW's ``caption_prompt``).

    Returns:
        The caption, and the span of each name.

    Example:
        >>> join_names(['person', 'traffic_light'])
        ('person. traffic light', [[[0, 6]], [[8, 21]]])
    """
    caption, spans = '', []
    for k, name in enumerate(names):
        prefix, word, suffix = written(name, prompts)
        start = len(caption) + len(prefix)
        spans.append([[start, start + len(word)]])
        caption += prefix + word + suffix
        caption += SEPARATOR if k < len(names) - 1 else ''
    return caption, spans


def written(name: str, prompts=None) -> tuple[str, str, str]:
    """Return prefix, name and suffix as they go into a caption."""
    clean = clean_name(name)
    prompt = (prompts or {}).get(name) or (prompts or {}).get(clean) or {}
    return (
        prompt.get('prefix', ''),
        prompt.get('name', clean),
        prompt.get('suffix', ''),
    )


def ground_names(
    names: Sequence[str] | Mapping[str, str | Sequence[str]],
    tokenizer: SpanTokenizer,
    *,
    chunk_size: int | None = None,
    prompts: Mapping[str, Mapping] | None = None,
) -> list[Grounding]:
    """Write a class list of any length into as many captions as it needs.

    Args:
        names: K names, or ``{label: [ways to say it]}``: the ways are rows
            that share the label.
        tokenizer: Says how many tokens fit, ``max_tokens``.
        chunk_size: Most rows of a caption (40 for LVIS as published); by
            default as many as fit.
        prompts: As in :func:`join_names`.

    Returns:
        One :class:`Grounding` a caption.

    Raises:
        ValueError: There is no name, or a name alone does not fit.
    """
    names, ways, labels = listed(names)
    chunks = []
    for part in portions(ways, tokenizer, chunk_size, prompts):
        caption, spans = join_names([ways[i] for i in part], prompts)
        own = [labels[i] for i in part]
        chunks.append(Grounding(caption, spans, own, names))
    return chunks


def listed(names) -> tuple[list[str], list[str], list[int]]:
    """Return K names, R ways to say them and the label of each way."""
    if isinstance(names, str):
        raise TypeError(f'expected a list of names, got the string {names!r}')
    if not isinstance(names, Mapping):
        names = list(names)
        ways, labels = names, list(range(len(names)))
    else:
        said = [[w] if isinstance(w, str) else list(w) for w in names.values()]
        mute = [name for name, own in zip(names, said) if not own]
        if mute:
            raise ValueError(f'the labels {mute} have no prompt: give one')
        names = list(names)
        ways = [way for own in said for way in own]
        labels = [k for k, own in enumerate(said) for _ in own]
    blank = [k for k, way in enumerate(ways) if not way.strip()]
    if blank or not ways:
        raise ValueError(
            f'got {len(ways)} names, those at {blank} empty: a caption needs '
            'at least one name, and every name a word'
        )
    return names, ways, labels


def portions(
    names: Sequence[str],
    tokenizer: SpanTokenizer,
    chunk_size: int | None = None,
    prompts=None,
) -> list[range]:
    """Split names, in their order, into captions that fit.

    Returns:
        Indices of the names in each caption.

    Raises:
        ValueError: One name alone does not fit.
    """
    room = tokenizer.max_tokens - 2  # start and end
    last = tokenizer.count(SEPARATOR)
    limit = chunk_size or len(names)
    starts, used = [0], 0
    for k, name in enumerate(names):
        tokens = tokenizer.count(''.join(written(name, prompts)))
        if tokens > room:
            raise ValueError(
                f'the name {name[:60]!r} has {tokens} tokens but a caption '
                f'holds {room}: shorten it'
            )
        if used + tokens > room or k - starts[-1] >= limit:
            starts.append(k)
            used = 0
        used += tokens + last
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(names)])]


def ground_phrases(
    caption: str, tokens_positive: Sequence[Spans] | Mapping[int, Spans] | int
) -> Grounding:
    """Take the phrases of a caption as labels.

    Args:
        caption: The caption.
        tokens_positive: Spans of each phrase, in a list or by label 0 ... K-1
            (labels left out get no tokens); -1 takes the whole caption as
            one phrase.

    Returns:
        A row a phrase. A phrase of several spans is called by all its parts,
        ``' / '`` between them, as in mmdet.

    Raises:
        ValueError: A span is not in the caption.
    """
    if isinstance(tokens_positive, int):
        if tokens_positive != -1:
            raise ValueError(
                f'tokens_positive={tokens_positive}: expected spans, or -1 '
                'for the whole caption'
            )
        tokens_positive = [[[0, len(caption)]]]
    if isinstance(tokens_positive, Mapping):
        given = {int(k): v for k, v in tokens_positive.items()}
        count = max(given, default=-1) + 1
        tokens_positive = [given.get(k, []) for k in range(count)]
    spans = [[list(map(int, s)) for s in own] for own in tokens_positive]
    check_spans(caption, spans)
    names = [' / '.join(caption[a:b] for a, b in own) for own in spans]
    return Grounding(caption, spans, list(range(len(names))), names)


def ground_caption(
    caption: str, splitter: Callable[[str], Sequence[tuple[int, int]]]
) -> Grounding:
    """Find the phrases of a caption; one said twice is one label of two rows.

    Args:
        caption: Free text.
        splitter: Returns the spans of the phrases, such as
            :func:`mmclip.glip.noun_phrases.noun_phrases`.

    Raises:
        ValueError: It finds none.
    """
    spans = [list(map(int, span)) for span in splitter(caption)]
    if not spans:
        raise ValueError(
            f'no phrase in the text {caption!r}: name what to look for, such '
            "as 'a red circle and a blue square', or give tokens_positive"
        )
    check_spans(caption, [spans])
    number: dict[str, int] = {}
    labels = [
        number.setdefault(caption[a:b].lower(), len(number)) for a, b in spans
    ]
    names = [''] * len(number)
    for label, (a, b) in zip(reversed(labels), reversed(spans)):
        names[label] = caption[a:b]
    return Grounding(caption, [[span] for span in spans], labels, names)


def ground(
    text: str | Sequence[str] | Mapping,
    tokenizer: SpanTokenizer,
    *,
    tokens_positive=None,
    custom_entities: bool = False,
    prompts: Mapping[str, Mapping] | None = None,
    chunk_size: int | None = None,
    splitter: Callable | None = None,
) -> list[Grounding]:
    """Turn what a data sample says into captions with labels.

    Args:
        text: Names (list, or ``{label: [prompts]}``), or one caption.
        tokenizer: The language model's.
        tokens_positive: The caption's phrases, see :func:`ground_phrases`.
        custom_entities: Whether a caption is a list of names with full stops
            between them (mmdet's flag).
        prompts: See :func:`join_names`.
        chunk_size: See :func:`ground_names`.
        splitter: See :func:`ground_caption`; our own by default.

    Returns:
        One :class:`Grounding` a caption: one, but for long lists of names.

    Raises:
        ValueError: See the functions named.
    """
    if tokens_positive is not None and isinstance(text, str):
        return [ground_phrases(text, tokens_positive)]
    if isinstance(text, str) and custom_entities:
        parts = re.split(r'\.\s+|\.$', text.strip())
        text = [part.strip() for part in parts if part.strip()]
    if isinstance(text, str):
        if splitter is None:
            from mmclip.glip.noun_phrases import noun_phrases as splitter
        return [ground_caption(text, splitter)]
    return ground_names(
        text, tokenizer, chunk_size=chunk_size, prompts=prompts
    )


def ground_once(text, tokenizer: SpanTokenizer, **kwargs) -> Grounding:
    """Ground the text of a training image, which must be one caption.

    Raises:
        ValueError: The names do not fit into one caption.
    """
    chunks = ground(text, tokenizer, **kwargs)
    if len(chunks) > 1:
        raise ValueError(
            f'{len(chunks[0].names)} names fill {len(chunks)} captions of '
            f'{tokenizer.max_tokens} tokens, but training reads one an '
            'image: put mmclip.SampleNegativeClasses into the pipeline'
        )
    return chunks[0]


class GroundedBatch(NamedTuple):
    """The captions of a batch of images.

    Attributes:
        texts: Different captions, T.
        pairs: ``(image, text, grounding)`` of every caption of every image,
            in the order of images and chunks.
        names: Of each image its labels' names.
    """

    texts: list[str]
    pairs: list[tuple[int, int, Grounding]]
    names: list[list[str]]


def ground_batch(grounded: Sequence[Sequence[Grounding]]) -> GroundedBatch:
    """Flatten the captions of B images; a text that recurs is kept once.

    Chunks so become part of the batch dimension: embed ``texts`` once, take
    text ``pairs[i][1]`` and image ``pairs[i][0]`` for row i.

    Args:
        grounded: What :func:`ground` returns for each image.
    """
    number: dict[str, int] = {}
    pairs = [
        (image, number.setdefault(chunk.caption, len(number)), chunk)
        for image, chunks in enumerate(grounded)
        for chunk in chunks
    ]
    names = [chunks[0].names if chunks else [] for chunks in grounded]
    return GroundedBatch(list(number), pairs, names)
