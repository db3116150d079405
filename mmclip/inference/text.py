"""Read what a text asks for: names, names with prompts, or a caption.

``'dog: a puppy | a hound . cat'`` says on a command line what
``{'dog': ['a puppy', 'a hound'], 'cat': ['cat']}`` says in Python.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

PARTS = re.compile(r'\s+\.(?:\s+|$)|\.\s*$|\n')
LABELLED = re.compile(r'^([^:|]+):\s+(.+)$', re.DOTALL)

Text = str | list[str] | dict[str, list[str]]


def read_text(text) -> Text | None:
    """Return names, ``{label: [prompts]}`` or the text itself.

    Args:
        text: A string; a list of names; ``{label: prompt or prompts}``; the
            path of a JSON file (``*.json``) of one of these; or None.

    Returns:
        A dict where a string has labels (``label: prompt | prompt``, parts
        ended by `` . `` or a line break); otherwise what was given.

    Raises:
        FileNotFoundError: There is no such JSON file.
        ValueError: The JSON file, the list or the dict is none of these.
    """
    if text is None:
        return None
    if isinstance(text, Path) or (
        isinstance(text, str) and text.strip().endswith('.json')
    ):
        return checked(read_json(Path(str(text).strip())), str(text))
    if isinstance(text, str):
        return labelled(text) or text
    return checked(text, 'the text')


def read_json(path: Path):
    """Return what a JSON file holds.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is no JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f'there is no file of names {path}')
    try:
        return json.loads(path.read_text(encoding='utf8'))
    except ValueError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error


def checked(text, what: str) -> list[str] | dict[str, list[str]]:
    """Return names or labels with lists of prompts.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(text, Mapping):
        said = {k: [v] if isinstance(v, str) else v for k, v in text.items()}
        if said and all(
            isinstance(label, str) and are_texts(prompts)
            for label, prompts in said.items()
        ):
            return {label: list(prompts) for label, prompts in said.items()}
    elif are_texts(text):
        return list(text)
    raise ValueError(
        f'{what} holds {str(text)[:60]!r}: expected a list of names such as '
        '["dog", "cat"], or labels with prompts such as {"dog": ["a puppy", '
        '"a hound"]}'
    )


def are_texts(texts) -> bool:
    """Tell a list of strings; an empty one is left to the model."""
    return (
        isinstance(texts, Sequence)
        and not isinstance(texts, str)
        and all(isinstance(each, str) for each in texts)
    )


def labelled(text: str) -> dict[str, list[str]] | None:
    """Return the labels of a string and their prompts; None without any."""
    parts = [part.strip() for part in PARTS.split(text)]
    matches = {part: LABELLED.match(part) for part in parts if part}
    if not any(matches.values()):
        return None
    found: dict[str, list[str]] = {}
    for part, match in matches.items():
        label, said = match.groups() if match else (part, part)
        prompts = [prompt.strip() for prompt in said.split('|')]
        found.setdefault(label.strip(), []).extend(filter(None, prompts))
    return found


def lists_names(text: str) -> bool:
    """Tell ``'dog . cat'`` from a caption."""
    return bool(re.search(r'\s\.(?:\s|$)', text))
