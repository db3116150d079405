"""Read TensorFlow checkpoints without TensorFlow, and without running them.

A checkpoint of TensorFlow's second format is a table of contents,
``NAME.index``, and raw arrays, ``NAME.data-00000-of-00001`` and so on. The
table is a LevelDB table (sorted strings in blocks, without compression) whose
values are protocol buffers; both are small formats, and the parts in use are
read here. Sources: LevelDB's doc/table_format.md; TensorFlow's
tensor_bundle.proto. An ``.npz`` of names and arrays is read as well.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: two handles, padding, the magic number
TRAILER = 5  # bytes after a block: kind of compression, checksum
CHECKED = 16384  # bytes: checksums of larger tensors take too long in Python
DTYPES = {
    1: '<f4',
    2: '<f8',
    3: '<i4',
    4: 'u1',
    6: 'i1',
    9: '<i8',
    10: '?',
    14: '<u2',  # bfloat16: the upper half of a float32
    19: '<f2',
}
BFLOAT16, STRING = 14, 7


def open_variables(path) -> Mapping[str, np.ndarray]:
    """Open a checkpoint as a mapping of names to arrays.

    Args:
        path: ``NAME`` of a checkpoint or one of its files, a folder that
            holds one checkpoint, or an ``.npz``.

    Raises:
        FileNotFoundError: There is none.
        ValueError: A file is damaged or of another format.
    """
    path = Path(path).expanduser()
    if path.suffix == '.npz':
        return ArchivedVariables(path)
    return TensorBundle(find_index(path))


def find_index(path: Path) -> Path:
    """Return the ``.index`` file that ``path`` means.

    Raises:
        FileNotFoundError: There is none.
        ValueError: A folder holds several.
    """
    if path.is_dir():
        found = sorted(path.glob('*.index'))
        if len(found) > 1:
            names = [file.stem for file in found]
            raise ValueError(f'{path} holds {names}: name one of them')
        if found:
            return found[0]
    name = path.name.removesuffix('.index').split('.data-')[0]
    index = path.with_name(f'{name}.index')
    if not index.is_file():
        raise FileNotFoundError(
            f"'{path}' is no TensorFlow checkpoint: expected a file "
            f'{index.name} beside {name}.data-00000-of-..., or an .npz'
        )
    return index


class ArchivedVariables(Mapping):
    """The arrays of an ``.npz``; nothing in it is unpickled."""

    def __init__(self, path: Path):
        self.archive = np.load(path, allow_pickle=False)
        self.shapes = {name: self.archive[name].shape for name in self}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.archive[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.archive.files)

    def __len__(self) -> int:
        return len(self.archive.files)


@dataclass
class Entry:
    """Where a tensor lies."""

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int | None = None
    sliced: bool = False


class TensorBundle(Mapping):
    """The variables of a checkpoint, each read when it is asked for.

    Args:
        index: The ``.index`` file.

    Attributes:
        shapes (dict): Shape of each variable; texts are left out.

    Raises:
        ValueError: The index is damaged.
    """

    def __init__(self, index: Path):
        self.index = Path(index)
        table = dict(read_table(self.index))
        header = read_message(table.pop(b'', b''))
        self.num_shards = header.get(1, [1])[0]
        if header.get(2, [0])[0] != 0:
            raise ValueError(f'{index} was written on a big-endian machine')
        entries = {k.decode(): read_entry(v) for k, v in table.items()}
        self.entries = {
            name: entry
            for name, entry in entries.items()
            if entry.dtype != STRING
        }
        self.shapes = {name: e.shape for name, e in self.entries.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, name: str) -> np.ndarray:
        """Read one variable.

        Raises:
            ValueError: Its bytes are missing or damaged, or its kind is
                unknown.
        """
        entry = self.entries[name]
        if entry.sliced or entry.dtype not in DTYPES:
            kind = 'cut into slices' if entry.sliced else 'of unknown type'
            raise ValueError(
                f"variable '{name}' of {self.index} is {kind}, which is not "
                'read: save it as one array, or as .npz'
            )
        data = self._bytes(name, entry)
        array = np.frombuffer(data, DTYPES[entry.dtype])
        if entry.dtype == BFLOAT16:
            array = (array.astype(np.uint32) << 16).view(np.float32)
        return array.reshape(entry.shape)

    def _bytes(self, name: str, entry: Entry) -> bytes:
        shard = self.index.with_name(
            f'{self.index.stem}.data-'
            f'{entry.shard:05d}-of-{self.num_shards:05d}'
        )
        with shard.open('rb') as stream:
            stream.seek(entry.offset)
            data = stream.read(entry.size)
        width = np.dtype(DTYPES[entry.dtype]).itemsize
        wanted = int(np.prod(entry.shape, dtype=np.int64)) * width
        if len(data) != entry.size or entry.size != wanted:
            raise ValueError(
                f"variable '{name}' has {len(data)} bytes in {shard.name}, "
                f'expected {wanted}: the file is cut short; copy it again'
            )
        known = entry.checksum is not None and len(data) <= CHECKED
        if known and masked_crc32c(data) != entry.checksum:
            raise ValueError(
                f"variable '{name}' in {shard.name} does not match its "
                'checksum: the file is damaged; copy it again'
            )
        return data


# ---- the table ----


def read_table(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a LevelDB table.

    Raises:
        ValueError: It is none, is damaged, or is compressed.
    """
    data = Path(path).read_bytes()
    if len(data) < FOOTER or struct.unpack('<Q', data[-8:])[0] != MAGIC:
        raise ValueError(
            f'{path} is not the index of a TensorFlow checkpoint, or is cut '
            'short: expected a LevelDB table'
        )
    handle, _ = read_handle(data[-FOOTER:], read_handle(data[-FOOTER:], 0)[1])
    for _, value in read_block(data, handle, path):
        yield from read_block(data, read_handle(value, 0)[0], path)


def read_handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Return the offset and size of a block, and where the next item is."""
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return (offset, size), at


def read_block(
    data: bytes, handle: tuple[int, int], path: Path
) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a block; neighbours share their beginning.

    Raises:
        ValueError: The block is damaged or compressed.
    """
    offset, size = handle
    block = data[offset : offset + size]
    trailer = data[offset + size : offset + size + TRAILER]
    if len(trailer) != TRAILER:
        raise ValueError(f'{path} is cut short: copy it again')
    if trailer[0] != 0:
        raise ValueError(f'{path} is compressed, which TensorFlow never does')
    if (
        masked_crc32c(block + trailer[:1])
        != struct.unpack('<I', trailer[1:])[0]
    ):
        raise ValueError(f'{path} does not match its checksum: copy it again')
    restarts = struct.unpack('<I', block[-4:])[0]
    end, at, key = len(block) - 4 * (restarts + 1), 0, b''
    while at < end:
        shared, at = read_varint(block, at)
        added, at = read_varint(block, at)
        length, at = read_varint(block, at)
        key = key[:shared] + block[at : at + added]
        yield key, block[at + added : at + added + length]
        at += added + length


# ---- protocol buffers ----


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and where the next item is.

    Raises:
        ValueError: The bytes end within it.
    """
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError('the index of the checkpoint is damaged: copy it again')


def read_message(data: bytes) -> dict[int, list]:
    """Return the fields of a protocol buffer: numbers and byte strings."""
    fields: dict[int, list] = {}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind == 2:
            length, at = read_varint(data, at)
            value, at = data[at : at + length], at + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value = int.from_bytes(data[at : at + length], 'little')
            at += length
        else:
            raise ValueError(
                f'the index of the checkpoint holds a field of kind {kind}, '
                'which TensorFlow does not write: copy it again'
            )
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def read_entry(data: bytes) -> Entry:
    """Read a BundleEntryProto."""
    fields = read_message(data)
    first = {key: values[0] for key, values in fields.items()}
    dims = read_message(first.get(2, b'')).get(2, [])
    return Entry(
        dtype=first.get(1, 0),
        shape=tuple(read_message(dim).get(1, [0])[0] for dim in dims),
        shard=first.get(3, 0),
        offset=first.get(4, 0),
        size=first.get(5, 0),
        checksum=first.get(6),
        sliced=7 in fields,
    )


# ---- checksums ----


def _crc_of_bytes() -> list[int]:
    """Return CRC-32C of each byte (polynomial 0x1EDC6F41, reflected)."""
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        values.append(value)
    return values


CRC = _crc_of_bytes()


def masked_crc32c(data: bytes) -> int:
    """Return the checksum as LevelDB stores it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
