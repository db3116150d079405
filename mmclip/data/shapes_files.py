"""Write files of the shapes world: the same bytes on every machine.

PNG images are stored without compression, as zlib's builds compress
differently (the scenes' noise would hardly shrink); members of a tar file
carry no time and no owner.
"""

import struct
import tarfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np

from mmclip.files import write_whole

BLOCK = 65535  # bytes that one stored block of deflate holds at most


def png_bytes(image: np.ndarray) -> bytes:
    """Return a PNG file of an image, uint8 (H, W) grey or (H, W, 3) RGB.

    Raises:
        ValueError: ``image`` is of another kind.
    """
    grey = image.ndim == 2
    if image.dtype != np.uint8 or not (grey or image.shape[2:] == (3,)):
        raise ValueError(
            f'got an image {image.dtype} {image.shape}: expected uint8 '
            '(H, W) or (H, W, 3)'
        )
    high, wide = image.shape[:2]
    lines = image.reshape(high, -1)
    lines = np.pad(lines, ((0, 0), (1, 0)))  # no filter: a zero a line
    header = struct.pack('>IIBBBBB', wide, high, 8, 0 if grey else 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        _chunk(kind, content)
        for kind, content in (
            (b'IHDR', header),
            (b'IDAT', _stored(lines.tobytes())),
            (b'IEND', b''),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return (
        struct.pack('>I', len(content))
        + kind
        + content
        + check.to_bytes(4, 'big')
    )


def _stored(content: bytes) -> bytes:
    """Wrap bytes as a zlib stream of stored blocks (RFC 1950, 1951)."""
    parts = [b'\x78\x01']
    for start in range(0, len(content), BLOCK):
        block = content[start : start + BLOCK]
        last = start + BLOCK >= len(content)
        parts.append(struct.pack('<BHH', last, len(block), BLOCK - len(block)))
        parts.append(block)
    return b''.join(parts) + zlib.adler32(content).to_bytes(4, 'big')


def tar_bytes(members: Mapping[str, bytes]) -> bytes:
    """Return a tar file of these members, in their order."""
    stream = BytesIO()
    with tarfile.open(
        fileobj=stream, mode='w', format=tarfile.USTAR_FORMAT
    ) as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)  # time 0, no owner, mode 644
            entry.size = len(content)
            tar.addfile(entry, BytesIO(content))
    return stream.getvalue()


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; its folder is made."""
    write_whole(path, lambda partial: partial.write_bytes(content))
