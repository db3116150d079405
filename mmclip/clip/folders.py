"""Keep what a long job writes in a folder that says what it is of.

``manifest.json`` holds the settings; whoever goes on must have the same. Each
file is written aside and renamed, so it is whole or absent.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

MANIFEST = 'manifest.json'


class ShardError(ValueError):
    """A folder that does not hold what is asked of it, and what to do."""


def open_folder(folder: Path, manifest: dict) -> None:
    """Make a folder for shards, or check that it is one with this manifest.

    Raises:
        ShardError: It was begun with other settings.
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MANIFEST).is_file():
        write_aside(folder / MANIFEST, manifest)
    compare_manifests(folder, read_manifest(folder), manifest)


def read_manifest(folder: Path) -> dict:
    """Return what a folder says of itself.

    Raises:
        ShardError: There is no manifest, or it is no JSON object.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ShardError(
            f"there is no '{path}': expected a folder that one of our tools "
            '(dump_proposals, extract_embeddings, pseudo_label) wrote'
        ) from error
    except ValueError as error:
        raise ShardError(f"'{path}' is no JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise ShardError(f"'{path}' holds no object: write it anew")
    return manifest


def compare_manifests(folder: Path, got: dict, expected: dict) -> None:
    """Raise a ShardError that names each field of ``expected`` not met."""
    wrong = [
        f'{key}: got {got.get(key)!r}, expected {value!r}'
        for key, value in expected.items()
        if got.get(key) != json.loads(json.dumps(value))
    ]
    if wrong:
        raise ShardError(
            f"'{Path(folder) / MANIFEST}' is of something else: "
            f'{"; ".join(wrong)}. Name another folder, or the settings that '
            'it was written with'
        )


def write_aside(path: Path, content) -> dict:
    """Write an array or JSON to a neighbouring file, then rename it.

    Returns:
        Its ``bytes`` and ``sha256``, read back.

    Raises:
        OSError: It cannot be written, as when the disc is full.
    """
    aside = path.with_name(path.name + '.part')
    try:
        with aside.open('wb') as file:
            if isinstance(content, np.ndarray):
                np.save(file, content, allow_pickle=False)
            else:
                text = json.dumps(content, indent=1, sort_keys=True)
                file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        seal = dict(bytes=aside.stat().st_size, sha256=file_hash(aside))
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OSError(
            f"cannot write '{path}' ({error}): is the disc full? Make room "
            'and run the same command again; it goes on after the shards that '
            'are whole'
        ) from error
    return seal


def file_hash(path: Path) -> str:
    """Return the sha256 of a file."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
