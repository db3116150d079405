"""Keep ragged arrays of many images in shards that are whole or absent.

A folder holds ``manifest.json``, which says what the arrays are, and shards
of consecutive images: ``00000.id.npy`` (n,), ``00000.offset.npy`` (n + 1,),
one ``00000.<array>.npy`` for each array, image after image, and the seal
``00000.json`` with sizes and checksums. Each file is written aside and
renamed, the seal last; a shard without its seal, or with a file of another
size, does not count. So ranks share a folder without locks: shard k is rank
k % world's.

n images of a shard, N rows over all images of a shard.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mmclip.clip.folders import (
    MANIFEST,
    ShardError,
    compare_manifests,
    file_hash,
    read_manifest,
    write_aside,
)


def shard_path(folder: Path, number: int, kind: str) -> Path:
    """Return the file of one array of a shard, or of its seal."""
    suffix = '.json' if kind == 'seal' else f'.{kind}.npy'
    return Path(folder) / f'{number:05d}{suffix}'


def shard_ranges(num_images: int, shard_size: int) -> list[range]:
    """Return the images of each shard."""
    return [
        range(start, min(start + shard_size, num_images))
        for start in range(0, num_images, shard_size)
    ]


def ids_hash(ids: Iterable) -> str:
    """Return the sha256 of a list of image ids; their order counts."""
    text = json.dumps([i if isinstance(i, str) else int(i) for i in ids])
    return hashlib.sha256(text.encode()).hexdigest()


def id_array(ids: Sequence) -> np.ndarray:
    """Return image ids as int64, or as text where one is text."""
    if all(isinstance(i, int | np.integer) for i in ids):
        return np.array(ids, np.int64)
    return np.array([str(i) for i in ids])


# ---- writing --------------------------------------------------------------


def write_shard(
    folder: Path, number: int, ids: Sequence, arrays: dict[str, list]
) -> None:
    """Write a shard, its seal last.

    Args:
        folder: An existing folder.
        number: Of the shard.
        ids: The n images.
        arrays: For each name, n arrays of equal width and any length.

    Raises:
        OSError: A file cannot be written; nothing of it counts as done.
    """
    shard_path(folder, number, 'seal').unlink(missing_ok=True)
    lengths = [len(rows) for rows in next(iter(arrays.values()))]
    whole = {name: np.concatenate(rows) for name, rows in arrays.items()}
    whole['id'] = id_array(ids)
    whole['offset'] = np.cumsum([0, *lengths], dtype=np.int64)
    files = {
        name: write_aside(shard_path(folder, number, name), array)
        for name, array in whole.items()
    }
    seal = dict(images=len(ids), rows=sum(lengths), files=files)
    write_aside(shard_path(folder, number, 'seal'), seal)


# ---- reading --------------------------------------------------------------


def fault_of(folder: Path, number: int, images: int, thorough: bool = False):
    """Say what is wrong with a shard, or return ``None`` for a whole one.

    Args:
        folder: Where it is.
        number: Of the shard.
        images: How many it must hold.
        thorough: Whether checksums are compared as well as sizes.
    """
    path = shard_path(folder, number, 'seal')
    try:
        seal = json.loads(path.read_text())
        if seal['images'] != images:
            return f'{path.name} is of {seal["images"]} images, not {images}'
        for name, wanted in seal['files'].items():
            file = shard_path(folder, number, name)
            if file.stat().st_size != wanted['bytes']:
                return f'{file.name} is cut short'
            if thorough and file_hash(file) != wanted['sha256']:
                return f'{file.name} is damaged'
    except FileNotFoundError as error:
        return f'{Path(error.filename).name} is missing'
    except (ValueError, KeyError, TypeError, AttributeError):
        return f'{path.name} is damaged'
    return None


class Shards:
    """Read a folder of shards; nothing is opened before the first question.

    Arrays are memory maps, opened by each process for itself and left behind
    when the reader is pickled, so that dataloader workers, forked or spawned,
    share the pages and nothing else.

    Args:
        folder: Where the shards are.
        kind: What the manifest must be a ``format`` of.
        expected: Further fields of the manifest that must be met.
        made_by: The command that writes such a folder, for messages.
    """

    def __init__(self, folder, kind: str, expected: dict, made_by: str):
        self.folder = Path(folder)
        self.expected = dict(format=kind, **expected)
        self.made_by = made_by
        self._manifest = self._index = None
        self._maps, self._process = {}, None

    def __getstate__(self) -> dict:
        return dict(self.__dict__, _maps={}, _process=None)

    @property
    def manifest(self) -> dict:
        """The manifest, once it has been compared with what is expected."""
        if self._manifest is None:
            manifest = read_manifest(self.folder)
            compare_manifests(self.folder, manifest, self.expected)
            self._manifest = manifest
        return self._manifest

    @property
    def ranges(self) -> list[range]:
        """The images of each shard."""
        manifest = self.manifest
        return shard_ranges(manifest['num_images'], manifest['shard_size'])

    def check(self, thorough: bool = False) -> None:
        """Raise a ShardError unless every shard is whole."""
        faults = [
            fault
            for number, images in enumerate(self.ranges)
            if (fault := fault_of(self.folder, number, len(images), thorough))
        ]
        if faults:
            raise ShardError(
                f"'{self.folder}' lacks {len(faults)} of {len(self.ranges)} "
                f'shards ({faults[0]}): run {self.made_by} again with the '
                'same settings, which writes the missing ones'
            )

    @property
    def ids(self) -> np.ndarray:
        """All image ids in the order in which they were written."""
        return self._open_index()[0]

    def _open_index(self):
        if self._index is None:
            self.check()
            parts = [self.array(k, 'id') for k in range(len(self.ranges))]
            ids = np.concatenate(parts) if parts else np.zeros(0, np.int64)
            order = np.argsort(ids, kind='stable')
            self._index = ids, order, ids[order]
        return self._index

    def place(self, image_id) -> tuple[int, int]:
        """Return the shard of an image and its row there.

        Raises:
            ShardError: The image is not in the folder.
        """
        ids, order, ascending = self._open_index()
        kind = ids.dtype.kind
        known = kind == 'U' or isinstance(image_id, int | np.integer)
        wanted = str(image_id) if kind == 'U' else image_id
        rank = int(ascending.searchsorted(wanted)) if known else len(ids)
        if rank == len(ids) or ascending[rank] != wanted:
            raise ShardError(
                f'image {image_id!r} is not among the {len(ids)} images of '
                f"'{self.folder}' (such as {ids[:3].tolist()}): run "
                f'{self.made_by} over the dataset that is trained on'
            )
        return divmod(int(order[rank]), self.manifest['shard_size'])

    def array(self, number: int, name: str) -> np.ndarray:
        """Return an array of a shard as a memory map."""
        if self._process != os.getpid():
            self._maps, self._process = {}, os.getpid()
        key = number, name
        if key not in self._maps:
            path = shard_path(self.folder, number, name)
            # Copy on write, which torch takes without a warning; none writes.
            # As a plain array, whose slices cost a tenth of a memmap's.
            mapped = np.load(path, mmap_mode='c', allow_pickle=False)
            self._maps[key] = mapped.view(np.ndarray)
        return self._maps[key]

    def rows(self, image_id, limit: int | None, *names) -> list[np.ndarray]:
        """Return the first rows of an image, a view for each array."""
        number, row = self.place(image_id)
        start, stop = self.array(number, 'offset')[row : row + 2].tolist()
        if limit is not None:
            stop = min(stop, start + limit)
        return [self.array(number, name)[start:stop] for name in names]

    def content_hash(self) -> str:
        """Return a hash of manifest and all arrays, from their seals."""
        self.check()
        digest = hashlib.sha256((self.folder / MANIFEST).read_bytes())
        for number in range(len(self.ranges)):
            seal = shard_path(self.folder, number, 'seal')
            digest.update(seal.read_bytes())
        return digest.hexdigest()
