"""Fetch a file: shown as it goes, resumed where it broke off, checked.

It grows beside its place as ``NAME.part`` and is renamed when it is whole and
its checksum is right.
"""

import os
import re
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from mmclip.clip.folders import file_hash

BLOCK = 1 << 18
SECONDS = 30  # without a byte, until a server counts as gone


def fetch_file(
    url: str, target: str | Path, sha256: str = '', progress: bool = True
) -> Path:
    """Fetch ``url`` into ``target``; a partial download is gone on with.

    Args:
        url: ``https://``, ``http://`` or ``file://``.
        target: Where the file goes; its folder is made.
        sha256: Leading hex digits of its checksum, '' where none is known.
        progress: Whether a bar is shown on stderr.

    Returns:
        ``target``.

    Raises:
        ConnectionError: It cannot be fetched; what came so far stays.
        ValueError: What came has another checksum; it is removed.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f'{target.name}.part')
    try:
        append(url, partial, progress)
    except (OSError, HTTPException) as error:
        raise ConnectionError(
            f'cannot fetch {url} ({reason_of(error)}). Without a network, '
            f"download it elsewhere and put it at '{target}'; the same "
            'command goes on where a download broke off'
        ) from error
    try:
        check_sha256(partial, sha256)
    except ValueError:
        partial.unlink()
        raise
    os.replace(partial, target)
    return target


def append(url: str, partial: Path, progress: bool) -> None:
    """Read what is still missing of an address to the end of a file.

    Raises:
        OSError: It cannot be read, or ends too early.
    """
    done = partial.stat().st_size if partial.exists() else 0
    try:
        answer = opened(url, done)
    except HTTPError as error:
        whole = re.search(r'/(\d+)$', error.headers.get('Content-Range') or '')
        if error.code != 416 or not whole or int(whole[1]) != done:
            partial.unlink(missing_ok=error.code == 416)
            raise
        return  # all of it had come before
    with answer:
        done, left = where(answer, done)
        with partial.open('r+b' if done else 'wb') as file:
            file.truncate(done)
            file.seek(done)
            total = None if left is None else done + left
            copy(answer, file, done, total, progress and partial.stem)
            got = file.tell()
    if total is not None and got < total:
        raise OSError(f'only {got} of {total} bytes came')


def opened(url: str, done: int):
    """Open an address behind its first ``done`` bytes, if it can do that."""
    headers = {'User-Agent': 'mmclip', 'Accept-Encoding': 'identity'}
    if done:
        headers['Range'] = f'bytes={done}-'
    return urlopen(Request(url, headers=headers), timeout=SECONDS)


def where(answer, done: int) -> tuple[int, int | None]:
    """Return at which byte an answer begins, and how many it has."""
    length = answer.headers.get('Content-Length')
    left = int(length) if length else None
    resumed = getattr(answer, 'status', None) == 206
    if resumed or not done:
        return done, left
    if answer.url.startswith('file:') and left is not None and done <= left:
        answer.read(done)  # a file does not know of ranges
        return done, left - done
    return 0, left


def copy(answer, file, done: int, total: int | None, shown) -> None:
    """Copy block by block; ``shown`` is what the bar is called, if any."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, disable=not shown) as bar:
        task = bar.add_task(shown or '', total=total, completed=done)
        while block := answer.read(BLOCK):
            file.write(block)
            bar.advance(task, len(block))


def reason_of(error: Exception) -> str:
    """Say in a few words why an address could not be read."""
    reason = getattr(error, 'reason', None) or error
    return str(reason) or type(error).__name__


def check_sha256(path: str | Path, expected: str) -> None:
    """Raise a ValueError where a file has another checksum.

    Args:
        path: The file.
        expected: Leading hex digits; '' is not checked.
    """
    found = file_hash(Path(path)) if expected else ''
    if not found.startswith(expected.lower()):
        raise ValueError(
            f"'{path}' is damaged: its sha256 is {found[:16]}... but "
            f'{expected[:16]}... was published; delete it and fetch it again'
        )
