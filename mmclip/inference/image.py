"""Read an image from whatever the user has.

Convention: every image leaves here as uint8 (H, W, 3) RGB, upright.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')


def list_images(paths: Sequence[str | Path]) -> list[Path]:
    """Return files as they are, and the images of folders by name.

    Raises:
        FileNotFoundError: There is no such file, or no image in a folder.
    """
    found = []
    for path in map(Path, paths):
        inside = [path]
        if path.is_dir():
            inside = sorted(
                p for p in path.iterdir() if p.suffix.lower() in SUFFIXES
            )
            if not inside:
                raise FileNotFoundError(
                    f'the folder {path} holds no image ({", ".join(SUFFIXES)})'
                )
        elif not path.is_file():
            raise FileNotFoundError(f'there is no image {path}')
        found += inside
    return found


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
        image: A path, an array (H, W) or (H, W, 1 | 3 | 4) of uint8, or a
            PIL image. Transparency is laid on white.
        channel_order: 'rgb' or 'bgr': the order of an array's channels.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no image, or the array none of uint8.
        TypeError: Anything else was given.
    """
    if isinstance(image, (str, Path)):
        return from_pil(open_image(Path(image)))
    if isinstance(image, Image.Image):
        return from_pil(image)
    if isinstance(image, np.ndarray):
        return from_array(image, channel_order)
    raise TypeError(
        'an image is a path, an array or a PIL image, got '
        f'{type(image).__name__}'
    )


def open_image(path: Path) -> Image.Image:
    """Open and decode a file whole."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no image {path}')
    try:
        picture = Image.open(path)
        picture.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(
            f'{path} cannot be read as an image: {error}; it may '
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
