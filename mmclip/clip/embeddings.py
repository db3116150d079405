"""Read tables of precomputed text embeddings.

K names, D embedding width.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor


def is_table(vocabulary) -> bool:
    """Tell a table of numbers, or the path of one, from names."""
    if isinstance(vocabulary, (Tensor, np.ndarray)):
        return True
    if isinstance(vocabulary, (str, Path)):
        return Path(vocabulary).suffix in ('.npy', '.safetensors')
    return False


def read_table(table) -> tuple[Tensor, list[str] | None]:
    """Return embeddings and, where they are stored with them, their names.

    Args:
        table: An array, nested list, or the path of a .npy or .safetensors
            file; the latter with one tensor or one called ``embeddings``.

    Raises:
        FileNotFoundError: The path does not exist.
        ValueError: The file holds no such table.
    """
    if not isinstance(table, (str, Path)):
        return torch.as_tensor(table).detach().float(), None
    path = Path(table).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no embeddings file '{path}'")
    if path.suffix == '.safetensors':
        return _read_safetensors(path)
    try:
        array = np.load(path, allow_pickle=False)
        return torch.from_numpy(array).float(), None
    except (ValueError, EOFError, OSError, TypeError) as error:
        raise ValueError(f"'{path}' is no array file: {error}") from error


def _read_safetensors(path: Path) -> tuple[Tensor, list[str] | None]:
    try:
        with safe_open(path, 'pt') as file:
            keys = list(file.keys())
            key = keys[0] if len(keys) == 1 else 'embeddings'
            names = (file.metadata() or {}).get('names')
            return file.get_tensor(key).float(), names and json.loads(names)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"'{path}' holds no table of embeddings: {error}"
        ) from error


def unit_rows(table: Tensor, count: int) -> Tensor:
    """Bring the rows of ``table`` (K, D) to length 1.

    Raises:
        ValueError: It has not ``count`` rows, or one that is zero or not
            finite.
    """
    if table.ndim != 2 or len(table) != count or not table.numel():
        turned = table.ndim == 2 and table.shape[1] == count
        raise ValueError(
            f'{count} names need embeddings of shape ({count}, D), got '
            f'{tuple(table.shape)}'
            + (': pass the transpose' if turned else '')
        )
    length = table.norm(dim=1)
    bad = (~torch.isfinite(length) | (length == 0)).nonzero().flatten()
    if len(bad):
        raise ValueError(
            f'the embeddings of rows {bad[:5].tolist()} are zero or not '
            'finite: compute them again'
        )
    return table / length[:, None]
