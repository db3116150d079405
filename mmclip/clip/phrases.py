"""Split free text into the names that it lists."""

import re

ARTICLES = re.compile(r'^(?:a|an|the)\s+', re.IGNORECASE)
SEPARATORS = re.compile(r'\s*(?:\.(?=\s|$)|[,;\n]|\s+and\s+)\s*')


def split_phrases(text) -> list[str] | dict:
    """Split ``'a red circle . blue square'`` into names.

    Names end at a full stop, comma, semicolon, line break or "and"; leading
    articles go and repeated names are kept once. Lists and dicts
    (``{label: [prompts]}``) pass as they are.

    Args:
        text: A string, or names already split.

    Returns:
        Names in the order of the text.

    Raises:
        ValueError: The text holds no name.

    Example:
        >>> split_phrases('a red circle . blue square and a cat')
        ['red circle', 'blue square', 'cat']
    """
    if not isinstance(text, str):
        return text if isinstance(text, dict) else list(text)
    phrases = (
        ARTICLES.sub('', part.strip()) for part in SEPARATORS.split(text)
    )
    names = list(dict.fromkeys(filter(None, phrases)))
    if not names:
        raise ValueError(
            f'no name in the text {text!r}: list what to look for, such as '
            "'red circle . blue square'"
        )
    return names


def runs_of_text(samples: list) -> list[tuple]:
    """Group neighbours that ask for the same names.

    Args:
        samples: Data samples, some with a field ``text``.

    Returns:
        ``[(text or None, range of indices), ...]``, in order.
    """
    texts = [getattr(sample, 'text', None) for sample in samples]
    starts = [
        i for i, text in enumerate(texts) if i == 0 or text != texts[i - 1]
    ]
    return [
        (texts[start], range(start, stop))
        for start, stop in zip(starts, [*starts[1:], len(texts)])
    ]
