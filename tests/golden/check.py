"""Compare what we compute with golden cases: check.py CASE.npz [CASE.npz ...].

Prints each quantity's error beside its tolerance. Exit status: 0 where all
are met, 1 where one is missed, 2 where a case could not be checked.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

ROOM = Path(__file__).parent
if str(ROOM) not in sys.path:
    sys.path.insert(0, str(ROOM))

from cases import ADAPTERS, CaseError, Measured, load_case  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Check every case that is named and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('cases', nargs='+', metavar='CASE.npz')
    options = parser.parse_args(argv)
    import_adapters()
    return max(map(check, options.cases))


def import_adapters() -> None:
    """Import each module beside this one that registers adapters."""
    for path in sorted(ROOM.glob('*.py')):
        if not path.stem.startswith(('test_', 'conftest')):
            import_module(path.stem)


def check(path: str) -> int:
    """Check one case, print its table and return its status."""
    try:
        meta, arrays = load_case(path)
        print(f'{path}: {meta["kind"]}')
        rows = compare(meta, arrays, run(meta, arrays))
    except CaseError as error:
        print(f'{path}: {error}')
        return 2
    missed = 0
    for name, error, tolerance in rows:
        met = error <= tolerance  # False for nan
        missed += not met
        print(
            f'  {"ok    " if met else "MISSED"} {name:40} '
            f'error {error:.2e}  tolerance {tolerance:.0e}'
        )
    return int(missed > 0)


def run(meta: dict, arrays: dict) -> dict:
    """Return what our implementation computes for a case.

    Raises:
        CaseError: No adapter knows its kind, or its header is incomplete.
    """
    kind = meta['kind']
    if kind not in ADAPTERS:
        raise CaseError(
            f"unknown kind '{kind}': known are {', '.join(sorted(ADAPTERS))}"
        )
    try:
        return ADAPTERS[kind](meta, arrays)
    except CaseError:
        raise
    except Exception as error:  # a broken case must not hide the next one
        raise CaseError(
            f'failed with {type(error).__name__}: {error}'
        ) from error


def compare(meta: dict, arrays: dict, ours: dict) -> list[tuple]:
    """Return ``(name, error, tolerance)`` of every quantity.

    A result or tap that was not computed counts as infinitely wrong.

    Raises:
        CaseError: There is nothing to compare.
    """
    wanted = [k for k in arrays if k.startswith(('out_', 'tap_'))]
    if not wanted and not ours:  # of mere data, an adapter says what to meet
        raise CaseError('it holds no out_* and no tap_* to compare')
    rows = []
    for name in dict.fromkeys([*wanted, *ours]):
        value = ours.get(name)
        if isinstance(value, Measured):
            rows.append((name, value.error, value.tolerance))
            continue
        if value is None or name not in arrays:
            rows.append((name, np.inf, 0.0))
            continue
        exact = arrays[name].dtype.kind not in 'fc'
        limit = 0.0 if exact else tolerance(meta, name)
        rows.append((name, distance(value, arrays[name]), limit))
    return rows


def tolerance(meta: dict, name: str) -> float:
    """Return a quantity's tolerance: its own, or the case's.

    Raises:
        CaseError: The case states none for it.
    """
    stated = meta.get('tolerance')
    if not isinstance(stated, dict):
        stated = {'default': stated}
    short = name.split('_', 1)[-1]
    for key in (name, short, 'default'):
        if isinstance(stated.get(key), int | float):
            return float(stated[key])
    raise CaseError(f'no tolerance is stated for {name}')


def distance(ours, theirs: np.ndarray) -> float:
    """Return the relative norm of the difference, or the share of misses."""
    ours = np.asarray(ours)
    if ours.shape != theirs.shape:
        return np.inf
    if theirs.dtype.kind not in 'fc':
        return float(np.mean(ours != theirs)) if theirs.size else 0.0
    difference = np.linalg.norm(ours.astype(float) - theirs)
    return float(difference / max(np.linalg.norm(theirs), 1e-12))


if __name__ == '__main__':
    sys.exit(main())
