"""Find the pairs of a tar file by reading its headers alone.

A pair is known as ``(key, (offset, size) of the image, of the text)``.
"""

import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence

BLOCK = tarfile.BLOCKSIZE
Place = tuple[int, int]  # offset and size in bytes


def members(path: str, faults: Counter) -> Iterator[tuple[str, Place]]:
    """Yield name and place of each whole file in a tar.

    A tar that ends too early, or turns out to be none, ends the files and
    counts as ``'cut shard'``.
    """
    try:
        size = os.path.getsize(path)
        with tarfile.open(path, 'r:') as tar:
            for member in tar:
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError('unexpected end of data')
                if member.isreg():
                    yield member.name, (member.offset_data, member.size)
                tar.members = []  # tarfile would keep them all
            end = tar.offset
        # tarfile takes a broken header for the end, whose mark is a block of
        # zeros
        with open(path, 'rb') as file:
            file.seek(end)
            if file.read(BLOCK) != bytes(BLOCK):
                raise tarfile.ReadError('no end')
    except (tarfile.TarError, OSError, EOFError, ValueError):
        faults['cut shard'] += 1


def split_name(name: str) -> tuple[str, str]:
    """Cut a member's name at the first dot of its base name, lower case."""
    folder, _, base = name.rpartition('/')
    stem, dot, extension = base.partition('.')
    return f'{folder}/{stem}'.lstrip('/'), (dot + extension).lower()


def index_tar(
    path: str, images: Sequence[str], text: str
) -> tuple[list[tuple[str, Place, Place]], Counter]:
    """List the pairs of a tar file.

    Args:
        path: An uncompressed tar.
        images: Extensions of images.
        text: Extension of captions.

    Returns:
        The pairs, and faults by kind: ``'cut shard'``, ``'duplicate key'``
        (a key that was there before, or an extension twice in a pair),
        ``'lacks image or text'``.
    """
    faults, pairs, seen = Counter(), [], set()
    for key, parts in grouped(members(path, faults)):
        if key in seen:
            faults['duplicate key'] += 1
            continue
        seen.add(key)
        image = next((parts[e] for e in images if e in parts), None)
        if image is None or text not in parts:
            faults['lacks image or text'] += 1
            continue
        pairs.append((key, image, parts[text]))
    return pairs, faults


def grouped(
    files: Iterator[tuple[str, Place]],
) -> Iterator[tuple[str, dict[str, Place]]]:
    """Yield neighbours of one key together, by extension."""
    current, parts = None, {}
    for name, place in files:
        key, extension = split_name(name)
        if current is not None and (key != current or extension in parts):
            yield current, parts
            parts = {}
        current = key
        parts[extension] = place
    if current is not None:
        yield current, parts
