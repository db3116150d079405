"""Make a photograph what a sketch is optimised against.

Images are uint8 RGB (H, W, 3).
"""

import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

SMALLEST = 8  # pixels; below, nothing can be told from an image


def read_picture(path: str | Path, max_side: int = 2048) -> Image.Image:
    """Read an image file upright, as RGB, or RGBA where it is transparent.

    The first picture of an animation is taken. Larger images are reduced, so
    that a huge one costs no more than it must.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read, or is smaller than 8 pixels.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no image '{path}'")
    try:
        with warnings.catch_warnings(), Image.open(path) as picture:
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            picture.draft('RGB', (max_side, max_side))  # of JPEG alone
            picture.seek(0)
            picture.load()
            picture = ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"'{path}' cannot be read as an image: {error}"
        ) from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"'{path}' is too large to be read safely ({error}): reduce it "
            'first'
        ) from error
    if min(picture.size) < SMALLEST:
        raise ValueError(
            f"'{path}' is {picture.width} x {picture.height} pixels: nothing "
            f'can be told from less than {SMALLEST} on a side'
        )
    picture = eight_bits(picture)
    picture.thumbnail((max_side, max_side), Image.BICUBIC)
    return picture


def eight_bits(picture: Image.Image) -> Image.Image:
    """Bring a picture of any mode to RGB, or RGBA where it is transparent."""
    if picture.mode.startswith(('I', 'F')):  # 16 or 32 bits of grey
        grey = np.asarray(picture, np.float64).clip(0)
        steps = (1, 255, 65535) if picture.mode == 'F' else (255, 65535)
        top = next((s for s in steps if grey.max() <= s), grey.max())
        picture = Image.fromarray((grey / top * 255).astype(np.uint8))
    clear = 'A' in picture.getbands() or 'transparency' in picture.info
    return picture.convert('RGBA' if clear else 'RGB')


def composite_on_white(image: Image.Image) -> np.ndarray:
    """Return RGB of an image of any mode; what is transparent turns white."""
    if image.mode not in ('RGB', 'L'):
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert('RGB'))


def foreground_mask(score: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Turn a map of scores into a mask of the image's size.

    The map is scaled to [0, 1], cut at one half, resized and cut again, as in
    the release.

    Args:
        score: Any map (h, w), such as of a salient-object network.
        size: (H, W).

    Returns:
        bool (H, W).
    """
    score = torch.as_tensor(np.asarray(score, np.float64))
    low, high = score.min(), score.max()
    if not high > low:
        return np.zeros(size, bool)
    mask = ((score - low) / (high - low) >= 0.5).double()
    large = F.interpolate(
        mask[None, None], size, mode='bilinear', align_corners=False
    )
    return (large[0, 0] >= 0.5).numpy()


def keep_foreground(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Turn the background white and stretch the brightest value to 255.

    Args:
        image: uint8 (H, W, 3).
        mask: bool (H, W), true where the image stays.

    Raises:
        ValueError: The mask is empty, or of another size.
    """
    if mask.shape != image.shape[:2]:
        raise ValueError(
            f'the mask is {mask.shape}, the image {image.shape[:2]}'
        )
    if not mask.any():
        raise ValueError(
            'the mask is empty, so nothing is left to sketch: give another '
            'mask, or sketch without one'
        )
    brightest = max(int(image.max()), 1)
    stretched = image / brightest * 255
    return np.where(mask[..., None], stretched, 255).astype(np.uint8)


def pad_to_white_square(image: np.ndarray, margin: int = 20) -> np.ndarray:
    """Centre an image on a white square ``margin`` larger than its side."""
    height, width = image.shape[:2]
    side = max(height, width) + margin
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def resize_to_canvas(image: np.ndarray, size: int = 224) -> np.ndarray:
    """Resize bicubically to a square; other shapes are distorted.

    Pad them with :func:`pad_to_white_square` first to keep their shape.
    """
    resized = Image.fromarray(image).resize((size, size), Image.BICUBIC)
    return np.asarray(resized)
