"""Read golden cases: what a published implementation computed, as numbers.

A case is one .npz: ``meta`` (JSON), inputs ``in_*``, results ``out_*`` and
values on the way ``tap_*``. Weights are not stored: each is drawn anew from
the name and shape that the published checkpoint gives it.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

GAINS = ('norm', 'bn', '.ln', 'ln_', 'layer_norm', 'layernorm')
ADAPTERS: dict[str, Callable] = {}


@dataclass(frozen=True)
class Measured:
    """An error that an adapter measured itself, and its limit."""

    error: float
    tolerance: float


class CaseError(Exception):
    """A case that cannot be checked, and why, in one line."""


def adapter(*kinds: str):
    """Register a function for cases of ``kinds``.

    It takes ``(meta, arrays)`` and returns what we compute, by the names of
    the arrays that it is to equal (or :class:`Measured` under any name).
    """

    def register(function):
        ADAPTERS.update(dict.fromkeys(kinds, function))
        return function

    return register


def load_case(path) -> tuple[dict, dict]:
    """Return the header and the arrays of a case.

    Raises:
        CaseError: The file is absent, damaged or no golden case.
    """
    if Path(path).is_file() and not is_zipfile(path):
        raise CaseError('no golden case: it is no .npz archive, or cut short')
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        meta = json.loads(str(arrays.pop('meta')))
        return {'kind': str(meta['kind']), **meta}, arrays
    except KeyError as error:
        raise CaseError(f'no golden case: it lacks {error}') from error
    except Exception as error:  # whatever a damaged archive raises
        raise CaseError(f'cannot be read: {error}') from error


def save_case(path, meta: dict, arrays: dict) -> None:
    """Write a case."""
    np.savez_compressed(path, meta=np.array(json.dumps(meta)), **arrays)


def fill(name: str, shape, seed: int = 0) -> np.ndarray:
    """Return the values of the entry ``name`` of a state dict."""
    if name.endswith('num_batches_tracked'):
        return np.zeros(shape, np.int64)
    source = np.random.PCG64([zlib.crc32(name.encode()), seed])
    noise = np.random.Generator(source).standard_normal(shape, np.float32)
    if name.endswith('running_var'):
        return 1 + 0.1 * np.abs(noise)
    if len(shape) > 1:
        fan_in = int(np.prod(shape[1:]))
        return (noise / np.sqrt(fan_in)).astype(np.float32)
    gain = any(hint in name.lower() for hint in GAINS)
    if name.endswith(('bias', 'running_mean')):
        gain = False
    if gain or name.endswith('weight'):
        return (1 + 0.1 * noise).astype(np.float32)
    return (0.1 * noise).astype(np.float32)


def reference_state(meta: dict) -> dict[str, np.ndarray]:
    """Return the whole state dict, in the published layout.

    ``config.multiply`` scales an entry, ``config.overrides`` then sets one to
    a constant.
    """
    config = meta.get('config') or {}
    state = {
        name: fill(name, tuple(shape), meta['seed'])
        for name, shape in meta['state']
    }
    for name, factor in config.get('multiply', {}).items():
        state[name] = state[name] * np.float32(factor)
    for name, constant in config.get('overrides', {}).items():
        if name in state:
            state[name] = np.full_like(state[name], constant)
    return state
