"""Where image-text pairs lie: lists, folders, tar shards.

A source is cut into units that are read from front to back: a tar file, or a
block of rows of a list or of files of a folder. ``entries`` of a unit says
where each pair is, without reading images; ``read`` fetches one.
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path

import numpy as np

from mmclip.data.tar_index import index_tar

IMAGES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')
BLOCK = 1000


@dataclass
class Unit:
    """A part of a source.

    Attributes:
        entries: Where each pair is.
        faults: What was found wrong on the way, counted by kind.
    """

    entries: Sequence
    faults: Counter = field(default_factory=Counter)


@dataclass
class Raw:
    """A pair as it was read.

    Attributes:
        key: Its name, unique in the source.
        image: Bytes of the image file.
        caption: Text.
    """

    key: str
    image: bytes
    caption: str


def blocks(count: int, size: int = BLOCK) -> list[range]:
    """Cut a range into blocks of ``size``."""
    return [
        range(start, min(start + size, count))
        for start in range(0, count, size)
    ]


class PairShards:
    """Read webdataset shards: tar files of ``KEY.jpg`` and ``KEY.txt``.

    Files that belong to a pair follow each other. Other files, such as
    ``KEY.json``, are passed over. Only uncompressed tar files: a pair is
    fetched by its offset.

    Args:
        paths: Tar files, or a pattern such as ``'data/gcc3m/*.tar'``.
        text: Extension of the captions.

    Raises:
        FileNotFoundError: There is no such file.
    """

    def __init__(self, paths: str | Sequence[str], text: str = '.txt'):
        self.paths, self.text = expand(paths, 'tar'), text

    def __len__(self) -> int:
        return len(self.paths)

    def entries(self, unit: int) -> Unit:
        """List a shard's pairs by reading its headers alone."""
        found, faults = index_tar(self.paths[unit], IMAGES, self.text)
        return Unit([(unit, *entry) for entry in found], faults)

    def read(self, entry) -> Raw:
        """Fetch a pair."""
        unit, key, image, text = entry
        with open(self.paths[unit], 'rb') as file:
            data, caption = (at(file, *where) for where in (image, text))
        return Raw(key, data, caption.decode('utf8', errors='replace'))


def at(file, offset: int, size: int) -> bytes:
    """Read ``size`` bytes of a file.

    Raises:
        EOFError: The file ends before.
    """
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise EOFError(f'{file.name} ends within a member')
    return data


class PairFolder:
    """Read a folder of images, each with a text file of the same name.

    Args:
        folder: It is searched with all that is below it. Images without a
            text file are left out.
        text: Extension of the captions.

    Raises:
        FileNotFoundError: There is no such folder, or no pair in it.
    """

    def __init__(self, folder: str, text: str = '.txt'):
        self.folder, self.text = Path(folder), text
        self.files = sorted(self.pairs())
        if not self.files:
            raise FileNotFoundError(
                f'no image with a {text} file beside it in {folder}: expected '
                f'NAME.jpg (or {", ".join(IMAGES[1:])}) and NAME{text}'
            )
        self.blocks = blocks(len(self.files))

    def pairs(self) -> Iterator[str]:
        """Yield the images that have a text, relative to the folder."""
        for where, _, names in os.walk(self.folder):
            there = set(names)
            for name in names:
                stem, extension = os.path.splitext(name)
                if extension.lower() in IMAGES and stem + self.text in there:
                    yield os.path.relpath(
                        os.path.join(where, name), self.folder
                    )

    def __len__(self) -> int:
        return len(self.blocks)

    def entries(self, unit: int) -> Unit:
        """List a block's pairs; the same stem twice is a duplicate."""
        rows, faults = [], Counter()
        for row in self.blocks[unit]:
            stem = os.path.splitext(self.files[row])[0]
            before = self.files[row - 1] if row else ''
            if os.path.splitext(before)[0] == stem:
                faults['duplicate key'] += 1
            else:
                rows.append(row)
        return Unit(rows, faults)

    def read(self, entry: int) -> Raw:
        """Fetch a pair."""
        path = self.folder / self.files[entry]
        caption = path.with_suffix(self.text).read_text('utf8', 'replace')
        return Raw(self.files[entry], path.read_bytes(), caption)


class PairList:
    """Read a list of image files and their captions.

    ``.jsonl``: an object a line; ``.csv`` and ``.tsv``: the first row names
    the columns. Rows stay on the disk: only where they begin is held.

    Args:
        path: The list.
        root: Folder that the images' paths start from; that of the list by
            default.
        image: Field of the image's path.
        caption: Field of the caption.
        key: Field that names a pair; pairs whose value occurred before are
            duplicates. By default image and caption together, for an image
            may have several captions; those are looked for within a block
            of 1000 rows.

    Raises:
        ValueError: The extension is another, or a field is absent.
    """

    def __init__(
        self,
        path: str,
        root: str | None = None,
        image: str = 'image',
        caption: str = 'caption',
        key: str | None = None,
    ):
        self.path, self.extension = Path(path), Path(path).suffix.lower()
        if self.extension not in ('.jsonl', '.csv', '.tsv'):
            raise ValueError(
                f"'{path}' is no list: expected .jsonl, .csv or .tsv"
            )
        self.root = Path(root or self.path.parent)
        self.image, self.caption, self.key = image, caption, key
        self.header, self.starts = self.scan()
        self.blocks = blocks(len(self.starts) - 1)
        self.check_header()
        self.repeated = self.find_repeated() if key else frozenset()

    def check_header(self) -> None:
        """Refuse a table that lacks a field."""
        wanted = [self.image, self.caption, *([self.key] if self.key else [])]
        lacking = [name for name in wanted if name not in (self.header or [])]
        if self.header is not None and lacking:
            raise ValueError(
                f'{self.path} has the columns {self.header}, none named '
                f'{lacking}: name yours with image=, caption= or key='
            )

    def find_repeated(self) -> frozenset[int]:
        """Return the rows whose key stood in a row before."""
        seen, repeated = set(), set()
        for row in range(len(self.starts) - 1):
            name = self.name_of(row)
            if name in seen:
                repeated.add(row)
            elif name is not None:
                seen.add(name)
        return frozenset(repeated)

    def scan(self) -> tuple[list[str] | None, np.ndarray]:
        """Find the columns' names and the offsets where rows begin and end."""
        starts = [0]
        with open(self.path, 'rb') as file:
            lines = Consumed(file)
            if self.extension == '.jsonl':
                for _ in lines:
                    starts.append(lines.offset)
                return None, np.array(starts)
            for _ in rows_of(self.reader(lines)):
                starts.append(lines.offset)
        header = self.parse(*starts[:2]) if len(starts) > 1 else []
        return header, np.array(starts[1:] or [0])

    def reader(self, lines: Iterator[str]):
        """Parse a table's rows; in .tsv a quotation mark means itself."""
        if self.extension == '.tsv':
            return csv.reader(lines, delimiter='\t', quoting=csv.QUOTE_NONE)
        return csv.reader(lines)

    def parse(self, start: int, stop: int) -> list[str]:
        """Read a table's row, the last of those between two offsets."""
        with open(self.path, 'rb') as file:
            text = at(file, start, stop - start).decode('utf8', 'replace')
        rows = list(self.reader(iter(text.splitlines(keepends=True))))
        return rows[-1] if rows else []

    def row(self, row: int) -> dict:
        """Return a row's fields.

        Raises:
            ValueError: It cannot be read.
        """
        start, stop = int(self.starts[row]), int(self.starts[row + 1])
        if self.header is not None:
            values = self.parse(start, stop)
            if len(values) != len(self.header):
                raise ValueError('more or fewer columns than the header')
            return dict(zip(self.header, values))
        with open(self.path, 'rb') as file:
            value = json.loads(at(file, start, stop - start))
        if not isinstance(value, dict):
            raise ValueError('no object')
        return value

    def __len__(self) -> int:
        return len(self.blocks)

    def entries(self, unit: int) -> Unit:
        """List a block's rows, without those that cannot be read."""
        rows, faults, seen = [], Counter(), set()
        for row in self.blocks[unit]:
            name = self.name_of(row)
            if name is None:
                faults['unreadable row'] += 1
            elif name in seen or row in self.repeated:
                faults['duplicate key'] += 1
            else:
                rows.append(row)
            seen.add(name)
        return Unit(rows, faults)

    def name_of(self, row: int):
        """Return what tells a pair from others, None for an unreadable row."""
        try:
            fields = self.row(row)
            if self.key:
                return str(fields[self.key])
            return str(fields[self.image]), str(fields[self.caption] or '')
        except (ValueError, KeyError, csv.Error):
            return None

    def read(self, entry: int) -> Raw:
        """Fetch a pair."""
        fields = self.row(entry)
        path = self.root / fields[self.image]
        key = str(fields[self.key]) if self.key else fields[self.image]
        return Raw(key, path.read_bytes(), str(fields[self.caption] or ''))


def rows_of(reader) -> Iterator[list[str] | None]:
    """Yield a table's rows, None for one that cannot be parsed.

    A quotation mark that is never closed makes one row of all that follows,
    until csv's limit of 131072 characters.
    """
    while True:
        try:
            yield next(reader)
        except csv.Error:
            yield None
        except StopIteration:
            return


class Consumed:
    """Yield a binary file's lines as text, and know how far it is."""

    def __init__(self, file):
        self.file, self.offset = file, 0

    def __iter__(self):
        return self

    def __next__(self) -> str:
        line = self.file.readline()
        if not line:
            raise StopIteration
        self.offset += len(line)
        return line.decode('utf8', 'replace').replace('\0', ' ')


def expand(paths: str | Sequence[str], kind: str) -> list[str]:
    """Return the files of a path, a pattern or several of both."""
    several = [paths] if isinstance(paths, str) else paths
    found = []
    for path in map(str, several):
        found += sorted(glob(path)) if has_magic(path) else [path]
    absent = [path for path in found if not os.path.isfile(path)]
    if absent or not found:
        raise FileNotFoundError(
            f'no {kind} file at {(absent or several)[0]}: check the path or '
            'the pattern'
        )
    return found


def source_of(data: str | dict | Sequence[str]):
    """Build the source of a path, a pattern, or a dict with options.

    A folder, a pattern or path of ``.tar`` files, or a list; in a dict the
    place is ``path``, and the rest are arguments of the source.
    """
    options = dict(data) if isinstance(data, dict) else dict(path=data)
    path = options.pop('path')
    if isinstance(path, str) and os.path.isdir(path):
        return PairFolder(path, **options)
    first = path if isinstance(path, str) else path[0]
    if str(first).endswith('.tar'):
        return PairShards(path, **options)
    return PairList(path, **options)
