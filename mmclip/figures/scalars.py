"""Read the numbers that mmengine writes of a run."""

import json
import re
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

Curve = list[tuple[float, float]]  # (step, value)
STAMP = re.compile(r'\d{8}_\d{6}')  # how mmengine names a run's folder


def find_scalars(path: str | Path) -> list[Path]:
    """Return the files of a run's numbers, the oldest first.

    A work directory has one for each time that it was trained or tested in.

    Raises:
        FileNotFoundError: There is none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    found = sorted(path.glob('**/scalars.json'))
    if not found:
        found = [
            file
            for file in sorted(path.glob('**/*.json'))
            if STAMP.fullmatch(file.stem)
        ]
    if not found:
        what = (
            'is no file or folder'
            if not path.exists()
            else (
                'holds no scalars.json: name a work directory of a run, whose '
                "visualizer has mmengine's LocalVisBackend"
            )
        )
        raise FileNotFoundError(f'{path} {what}')
    return found


def read_records(path: str | Path) -> list[dict]:
    """Read a file's records: JSON lines, or one JSON object.

    A last line that was cut off is left out.

    Raises:
        ValueError: The file is no such thing.
    """
    text = Path(path).read_text(encoding='utf8', errors='replace').strip()
    try:
        whole = json.loads(text)
        records = whole if isinstance(whole, list) else [whole]
    except json.JSONDecodeError:
        records = list(json_lines(text.splitlines(), path))
    if not records or not all(isinstance(each, dict) for each in records):
        raise ValueError(
            f'{path} holds no numbers of a run: name a work directory, its '
            'scalars.json, or the JSON of an evaluation'
        )
    return records


def json_lines(lines: list[str], path):
    """Yield the object of every line."""
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines) > 1:
                return
            raise ValueError(
                f'{path}, line {number}, is no JSON: {error.msg}; name a work '
                'directory, its scalars.json, or the JSON of an evaluation'
            ) from error


def read_curves(path: str | Path) -> dict[str, Curve]:
    """Return what a run logged: (step, value) of each key, by step.

    A step that a resumed run made again counts as it was the last time.
    Step 0 of a test is left out: it belongs to no training.
    """
    curves: dict[str, dict] = {}
    for file in find_scalars(path):
        for record in read_records(file):
            step = record.get('step', record.get('iter'))
            if not step:
                continue
            for key, value in record.items():
                if isinstance(value, (int, float)) and key not in (
                    'step',
                    'iter',
                    'epoch',
                ):
                    curves.setdefault(key, {})[step] = value
    return {key: sorted(points.items()) for key, points in curves.items()}


def chosen(keys, patterns) -> list[str]:
    """Return the keys that fit any pattern, such as ``'*loss*'``.

    Raises:
        ValueError: A pattern fits none; the message has the nearest keys.
    """
    keys = list(dict.fromkeys(keys))
    for pattern in patterns:
        if not any(fnmatchcase(key, pattern) for key in keys):
            near = get_close_matches(pattern, keys, n=5, cutoff=0.3)
            raise ValueError(
                f"nothing logged is called '{pattern}'; near to it: "
                f'{", ".join(near or keys[:8]) or "nothing was logged"}'
            )
    return [key for key in keys if any(fnmatchcase(key, p) for p in patterns)]
