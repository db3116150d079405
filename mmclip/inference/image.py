"""Read an image from whatever the user has.

Convention: every image leaves here as uint8 (H, W, 3) RGB, upright.
"""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')
URL = re.compile(r'[a-z][a-z0-9+.-]+:/', re.IGNORECASE)


class DamagedImage(ValueError):
    """A file, or what was read of one, is no image."""


def list_images(
    paths: Sequence[str | Path], recursive: bool = False
) -> list[Path]:
    """Return files as they are, and the images of folders by name.

    Args:
        paths: Files and folders.
        recursive: Whether folders within folders are looked through, too.

    Raises:
        FileNotFoundError: There is no such file, or no image in a folder.
        ValueError: A path is an address.
    """
    found = []
    for path in paths:
        refuse_address(path)
        path = Path(path)
        inside = [path]
        if path.is_dir():
            inside = images_inside(path, recursive)
        elif not path.is_file():
            raise FileNotFoundError(f'there is no image {path}')
        found += inside
    return found


def images_inside(folder: Path, recursive: bool = False) -> list[Path]:
    """Return the images of a folder by name; hidden files are none.

    Raises:
        FileNotFoundError: It holds none.
    """
    found = sorted(
        path
        for path in folder.glob('**/*' if recursive else '*')
        if path.suffix.lower() in SUFFIXES
        and not any(
            part.startswith('.') for part in path.relative_to(folder).parts
        )
    )
    if not found:
        deeper = '' if recursive else '; folders within it were not looked at'
        raise FileNotFoundError(
            f'the folder {folder} holds no image ({", ".join(SUFFIXES)})'
            f'{deeper}'
        )
    return found


def refuse_address(path: str | Path) -> None:
    """Raise a ValueError where a path is an address of the web."""
    if URL.match(str(path)):
        raise ValueError(
            f'{path} is an address, and nothing is fetched here: download '
            'the image first and give its path'
        )


def stems(
    paths: Sequence[Path], known: Mapping[str, str] | None = None
) -> list[str]:
    """Return a name for each file's results, all different.

    Args:
        paths: The files.
        known: The names of those that have results already, by path.
    """
    known = known or {}
    taken, names = set(known.values()), []
    for path in paths:
        name = known.get(str(path))
        if name is None:
            name, count = path.stem, 1
            while name in taken:
                count += 1
                name = f'{path.stem}-{count}'
            taken.add(name)
        names.append(name)
    return names


def load_image(image, channel_order: str = 'rgb') -> np.ndarray:
    """Return an image as a uint8 array (H, W, 3) in RGB.

    Args:
        image: A path, the bytes of a file, an array (H, W) or
            (H, W, 1 | 3 | 4) of uint8, or a PIL image. Transparency is laid
            on white.
        channel_order: 'rgb' or 'bgr': the order of an array's channels.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedImage: The file is no image (a ValueError).
        ValueError: The path is an address, or the array none of uint8.
        TypeError: Anything else was given.
    """
    if isinstance(image, (str, Path)):
        refuse_address(image)
        return from_pil(open_image(Path(image)))
    if isinstance(image, (bytes, bytearray, memoryview)):
        stream = io.BytesIO(image)
        return from_pil(decode(stream, f'an image of {len(image)} bytes'))
    if isinstance(image, Image.Image):
        return from_pil(image)
    if isinstance(image, np.ndarray):
        return from_array(image, channel_order)
    raise TypeError(
        'an image is a path, the bytes of a file, an array or a PIL image, '
        f'got {type(image).__name__}'
    )


def open_image(path: Path) -> Image.Image:
    """Open and decode a file whole."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no image {path}')
    return decode(path, str(path))


def decode(source, name: str) -> Image.Image:
    """Decode a path or a stream whole; ``name`` is what an error calls it."""
    try:
        picture = Image.open(source)
        picture.load()
    except Image.DecompressionBombError as error:
        raise DamagedImage(f'{name} is too large: {error}') from error
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DamagedImage(
            f'{name} cannot be read as an image: {error}; it may '
            'be damaged or of another format'
        ) from error
    return picture


def from_pil(picture: Image.Image) -> np.ndarray:
    """Turn upright, flatten onto white, and convert to RGB."""
    picture = ImageOps.exif_transpose(picture)
    if 'A' in picture.getbands() or 'transparency' in picture.info:
        picture = picture.convert('RGBA')
        white = Image.new('RGBA', picture.size, 'white')
        picture = Image.alpha_composite(white, picture)
    return np.array(picture.convert('RGB'))


def from_array(array: np.ndarray, channel_order: str) -> np.ndarray:
    """Check an array and bring it to three channels."""
    shape = array.shape
    if (
        array.dtype != np.uint8
        or array.size == 0
        or not (array.ndim == 2 or array.ndim == 3 and shape[2] in (1, 3, 4))
    ):
        raise ValueError(
            'an image array is uint8 (H, W) or (H, W, 1 | 3 | 4), got '
            f'{array.dtype} {shape}: scale a float image by 255 and convert'
        )
    if channel_order not in ('rgb', 'bgr'):
        raise ValueError(
            f"channel_order is 'rgb' or 'bgr', got {channel_order!r}"
        )
    if array.ndim == 3 and shape[2] >= 3 and channel_order == 'bgr':
        array = array[..., [2, 1, 0, 3][: shape[2]]]
    return from_pil(
        Image.fromarray(
            array.squeeze(-1)
            if shape[2:] == (1,)
            else np.ascontiguousarray(array)
        )
    )
