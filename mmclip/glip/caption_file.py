"""Read pairs of image and caption, a shard at a time."""

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple


class Captioned(NamedTuple):
    """An image file, relative to a folder, and a caption of it."""

    filename: str
    caption: str


class CaptionFile:
    """Read image-text pairs, a shard at a time; millions take no memory.

    Args:
        path: ``.jsonl`` with ``image`` (or ``filename``, ``file_name``) and
            ``caption`` a line, or ODVG grounding lines; or COCO's captions as
            ``.json``, which are read at once.
        shard_size: Pairs of a shard.
    """

    def __init__(self, path: str | os.PathLike, shard_size: int) -> None:
        self.path, self.shard_size = Path(path), shard_size
        self.lines = coco_lines(self.path) if path_is_coco(path) else None
        self.count, self.starts = 0, []  # bytes at which shards begin
        for place, _ in self.read():
            if self.count % shard_size == 0:
                self.starts.append(place)
            self.count += 1

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self.count

    def read(self, start: int = 0) -> Iterator[tuple[int, str]]:
        """Yield place and text of each line from a place on."""
        if self.lines is not None:
            yield from enumerate(self.lines[start:], start)
            return
        with self.path.open('rb') as file:
            file.seek(start)
            while line := file.readline():
                if line.strip():
                    yield start, line.decode(errors='replace')
                start += len(line)

    def shard(self, number: int) -> list[str]:
        """Return the lines of a shard."""
        lines = self.read(self.starts[number])
        return [text for _, text in islice(lines, self.shard_size)]


def path_is_coco(path) -> bool:
    """Tell whether a file is one of COCO's captions."""
    return Path(path).suffix == '.json'


def coco_lines(path: Path) -> list[str]:
    """Return COCO's captions as lines."""
    content = json.loads(path.read_text(encoding='utf8'))
    files = {i['id']: i['file_name'] for i in content['images']}
    return [
        json.dumps(dict(image=files[a['image_id']], caption=a['caption']))
        for a in content['annotations']
    ]


def captioned(line: str) -> Captioned:
    """Read a line's image and caption.

    Raises:
        ValueError: It holds none.
    """
    record = json.loads(line)
    for key in ('image', 'filename', 'file_name'):
        caption = record.get('grounding', record).get('caption')
        if key in record and isinstance(caption, str):
            return Captioned(record[key], caption)
    raise ValueError(
        f'the line has {sorted(record)}: expected image (or filename) and '
        'caption'
    )
