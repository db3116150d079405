"""Write files whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(
    path: str | os.PathLike, write: Callable[[Path], object]
) -> None:
    """Write a file aside and rename it: what was there stays until then.

    The folder is made. Where writing fails, nothing is left behind.

    Args:
        path: Where the file goes.
        write: Writes it to the path that it is given, which has the same
            ending.

    Raises:
        OSError: It cannot be written there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{os.getpid()}.{path.name}')
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
