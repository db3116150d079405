"""Keep text embeddings on disk between runs.

One safetensors file a vocabulary, named by the hash of all that went into it.
A file is written aside and renamed, so that readers and other writers see a
whole one or none; one that does not match its own checksum is not used.
"""

import hashlib
import json
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from mmclip.files import write_whole


def cache_key(*ingredients) -> str:
    """Return a hash of ``ingredients``, anything that JSON can write."""
    text = json.dumps(ingredients, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_embeddings(path: Path, count: int) -> Tensor | None:
    """Read cached embeddings.

    Args:
        path: The cache file.
        count: How many names it must hold.

    Returns:
        Embeddings (K, D), or ``None`` where the file is absent or damaged.
    """
    try:
        # At one go: another process may put a new file here at any time.
        raw = path.read_bytes()
        embeddings = load(raw)['embeddings']
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], 'little')])
        expected = header['__metadata__']['sha256']
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    if len(embeddings) != count or checksum(embeddings) != expected:
        return None
    return embeddings


def write_embeddings(path: Path, embeddings: Tensor, names: list[str]) -> None:
    """Write embeddings and their names for :func:`read_embeddings`.

    A folder that cannot be written costs a warning, not the run.
    """
    embeddings = embeddings.detach().cpu().contiguous()
    metadata = {
        'names': json.dumps(names),
        'sha256': checksum(embeddings),
    }
    try:
        write_whole(
            path,
            lambda aside: save_file(
                {'embeddings': embeddings}, aside, metadata
            ),
        )
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"text embeddings are not cached, '{path.parent}' cannot be "
            f'written ({error}): set MMCLIP_CACHE to another folder',
            stacklevel=2,
        )


def checksum(embeddings: Tensor) -> str:
    """Return the sha256 of a tensor's values."""
    raw = embeddings.reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(raw).hexdigest()
