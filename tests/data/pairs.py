"""Small image-text data on the disk, good and bad."""

import io
import json
import tarfile

import numpy as np
from PIL import Image


def picture(number: int, side: int = 8, kind: str = 'PNG') -> bytes:
    """Return an image file whose pixels tell its number."""
    data = io.BytesIO()
    pixels = np.full((side, side, 3), number % 256, np.uint8)
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


def write_tar(path, members) -> None:
    """Write ``(name, bytes)`` into a tar."""
    with tarfile.open(path, 'w') as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def pair(number: int, caption: str | None = None, key: str | None = None):
    """Return the two members of a pair."""
    key = key or f'{number:04d}'
    caption = f'a picture of number {number}' if caption is None else caption
    return [
        (f'{key}.png', picture(number)),
        (f'{key}.txt', caption.encode()),
    ]


def shards(folder, count: int, each: int) -> str:
    """Write ``count`` shards of ``each`` pairs; return their pattern."""
    for shard in range(count):
        members = []
        for number in range(shard * each, (shard + 1) * each):
            members += pair(number)
        write_tar(folder / f'{shard:03d}.tar', members)
    return str(folder / '*.tar')


def write_jsonl(path, rows) -> None:
    """Write dicts, or lines as they are."""
    lines = [r if isinstance(r, str) else json.dumps(r) for r in rows]
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf8')
