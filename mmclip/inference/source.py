"""The images that somebody named, read one at a time.

``mmclip.detect``, ``mmclip.segment`` and the commands read through here: a
path, bytes, an array or a PIL image is one image; a folder, a list or any
iterator is many.
"""

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mmclip.inference.image import (
    DamagedImage,
    images_inside,
    list_images,
    load_image,
    refuse_address,
)

ONE = (bytes, bytearray, memoryview, np.ndarray, Image.Image)


class ImageSource:
    """Read images as they are asked for; none is kept.

    A file that is no image is left out where it is one of many: it is told
    of, and the rest goes on. Where it is the only one, it is an error.

    Args:
        given: A path, bytes of a file, uint8 array or PIL image; a folder; or
            any iterable of the former.
        recursive: Whether folders within a folder are looked through.
        channel_order: Of arrays, see
            :func:`mmclip.inference.image.load_image`.
        on_broken: Called with the name and the error of each file left out;
            by default it is a warning.

    Attributes:
        many (bool): Whether more than one image may come.
        count (int | None): How many, where it is known.

    Raises:
        FileNotFoundError: A path leads nowhere, or a folder has no image.
        ValueError: A path is an address.
        TypeError: It is nothing that could be an image.
    """

    def __init__(
        self,
        given,
        *,
        recursive: bool = False,
        channel_order: str = 'rgb',
        on_broken: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self.channel_order = channel_order
        self.on_broken = warn if on_broken is None else on_broken
        self.many, self.items = listed(given, recursive)
        sized = hasattr(self.items, '__len__')
        self.count = len(self.items) if sized else None

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (name, RGB image (H, W, 3)); a file's name is its path."""
        for number, each in enumerate(self.items):
            name = f'image {number}'
            if isinstance(each, (str, Path)):
                name = str(each)
            try:
                picture = load_image(each, self.channel_order)
            except (DamagedImage, OSError) as error:
                if not self.many:
                    raise
                self.on_broken(name, error)
                continue
            yield name, picture


def listed(given, recursive: bool) -> tuple[bool, Iterable]:
    """Return whether there may be many images, and an iterable of them."""
    if isinstance(given, (str, Path)):
        refuse_address(given)
        if Path(given).is_dir():
            return True, images_inside(Path(given), recursive)
        return False, list_images([given])
    if isinstance(given, ONE):
        return False, [given]
    if not isinstance(given, Iterable):
        load_image(given)  # says what an image is
    if isinstance(given, (list, tuple)) and all(
        isinstance(each, (str, Path)) for each in given
    ):
        return True, list_images(given, recursive)
    return True, given


def warn(name: str, error: Exception) -> None:
    """Warn of a file that is left out."""
    fault = str(error) if name in str(error) else f'{name}: {error}'
    warnings.warn(f'left out: {fault}', stacklevel=2)


class LeftOut(dict):
    """Faults of files by their names, told of on stderr as they come.

    What the commands hand over as ``on_broken``.
    """

    def __call__(self, name: str, error: Exception) -> None:
        """Note a file that is left out."""
        self[name] = str(error)
        print(f'left out: {error}', file=sys.stderr)

    def exit_code(self) -> int:
        """Say how many files were left out; return a command's exit code."""
        if not self:
            return 0
        print(
            f'error: {len(self)} of the images could not be read and '
            f'{"was" if len(self) == 1 else "were"} left out: '
            f'{", ".join(self)}',
            file=sys.stderr,
        )
        return 1


def tracked(
    items: Iterable, total: int | None, shown: bool = True
) -> Iterable:
    """Show a bar on stderr while going through more than one item.

    Args:
        items: What is gone through.
        total: How many, where it is known.
        shown: Whether there is a bar at all.
    """
    from rich.console import Console
    from rich.progress import track

    hidden = not shown or (total is not None and total < 2)
    console = Console(file=sys.stderr)
    return track(items, 'images', total, console=console, disable=hidden)
