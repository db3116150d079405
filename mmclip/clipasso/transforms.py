"""From a file to the target on the canvas.

``results`` carries ``image`` (uint8 RGB (H, W, 3)) and, where it is known,
``mask`` (bool (H, W), true on the foreground).
"""

from pathlib import Path

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from PIL import Image

from mmclip.clipasso.preprocess import (
    composite_on_white,
    keep_foreground,
    pad_to_white_square,
    read_picture,
    resize_to_canvas,
)
from mmclip.registry import TASK_UTILS, TRANSFORMS


@TRANSFORMS.register_module()
class CompositeOnWhite:
    """Read a file of any kind and lay it on white.

    ``mask`` becomes what is more opaque than not, if anything is
    transparent. The first picture of an animation is taken.

    Args:
        max_side: Larger pictures are reduced to this before anything else.
    """

    def __init__(self, max_side: int = 2048) -> None:
        self.max_side = max_side

    def __call__(self, results: dict) -> dict:
        """Add ``image``, ``ori_shape`` and perhaps ``mask``."""
        picture = read_picture(results['img_path'], self.max_side)
        results['image'] = composite_on_white(picture)
        results['ori_shape'] = results['image'].shape[:2]
        if picture.mode == 'RGBA':
            opaque = np.asarray(picture)[..., 3] >= 128
            if not opaque.all():
                results['mask'] = opaque
        return results


@TRANSFORMS.register_module()
class ApplyForegroundMask:
    """Keep the foreground and turn the rest white.

    Source: CLIPasso, sec. 4.1, which masks by a salient-object network.

    Args:
        source: ``'alpha'`` (what was transparent), ``'file'`` (``masks`` of
            the dataset), ``'model'``, or ``'given'``: the file where there
            is one, else alpha, else the image stays whole.
        model: For ``'model'``: settings of
            :class:`mmclip.clipasso.foreground.ForegroundModel`, such as
            ``dict(config=..., checkpoint=...)`` of mmdet, mmseg or our LSeg;
            or ``dict(type='mmclip.SalientForeground', checkpoint=...)``,
            which is U2-Net.
        whiten: Whether the background turns white. ``False`` only adds the
            mask, for losses that know what to do with it.

    Raises:
        ValueError: The mask is empty, not there, or ``source`` unknown.
    """

    def __init__(
        self,
        source: str = 'given',
        model: dict | None = None,
        whiten: bool = True,
    ) -> None:
        sources = ('alpha', 'file', 'model', 'given')
        if source not in sources:
            raise ValueError(
                f'source is {source!r}, expected one of {sources}'
            )
        if (source == 'model') != (model is not None):
            raise ValueError(
                "source='model' and model=dict(config=..., checkpoint=...) "
                'belong together'
            )
        self.source, self.model, self.whiten = source, model, whiten
        self._network = None

    def __call__(self, results: dict) -> dict:
        """Change ``image``, add ``mask``."""
        mask = self.find_mask(results)
        if mask is None:
            return results
        try:
            on_white = keep_foreground(results['image'], mask)
        except ValueError as error:
            raise ValueError(f'{results["img_path"]}: {error}') from error
        if self.whiten:
            results['image'] = on_white
        results['mask'] = mask
        return results

    def find_mask(self, results: dict) -> np.ndarray | None:
        """Return the mask by the source, bool (H, W)."""
        if self.source == 'model':
            return self.network(results['image'], results.get('class_name'))
        path = results.get('mask_path')
        if path and self.source in ('file', 'given'):
            return read_mask(path, results['image'].shape[:2])
        if self.source == 'given':
            return results.get('mask')
        if self.source == 'alpha' and 'mask' in results:
            return results['mask']
        raise ValueError(
            f"'{results['img_path']}' has no mask: source is "
            f'{self.source!r}, but '
            + (
                'the dataset was given no masks'
                if self.source == 'file'
                else 'nothing in it is transparent'
            )
        )

    @property
    def network(self):
        """Return the foreground model, built when first asked for."""
        if self._network is None:
            # they register what may be asked for
            from mmclip.clipasso import foreground, u2net  # noqa: F401

            default = dict(type='mmclip.ForegroundModel')
            self._network = TASK_UTILS.build({**default, **self.model})
        return self._network


def read_mask(path: str | Path, size: tuple[int, int]) -> np.ndarray:
    """Read a mask, bool (H, W): true where it is bright, or opaque.

    It is brought to the image's size (H, W).
    """
    picture = read_picture(path)
    if picture.mode == 'RGBA' and picture.getextrema()[3][0] < 255:
        picture = picture.getchannel('A')
    picture = picture.convert('L').resize(size[::-1], Image.BILINEAR)
    return np.asarray(picture) >= 128


@TRANSFORMS.register_module()
class PadToWhiteSquare:
    """Centre the image on a white square.

    Args:
        margin: Pixels by which the square is larger, 20 in the release.
        always: Whether images without a mask are padded too; their border
            then is an edge, which strokes will follow.
    """

    def __init__(self, margin: int = 20, always: bool = False) -> None:
        self.margin, self.always = margin, always

    def __call__(self, results: dict) -> dict:
        """Change ``image`` and ``mask``."""
        mask = results.get('mask')
        if mask is None and not self.always:
            return results
        results['image'] = pad_to_white_square(results['image'], self.margin)
        if mask is not None:
            white = np.where(mask[..., None], np.uint8([0, 0, 0]), 255)
            padded = pad_to_white_square(white.astype(np.uint8), self.margin)
            results['mask'] = padded[..., 0] == 0
        return results


@TRANSFORMS.register_module()
class ResizeToCanvas:
    """Resize bicubically to the canvas.

    Args:
        size: Its side in pixels.
        fit: What to do with an image that is not square: ``'crop'`` its
            middle, or ``'stretch'`` it as the release does.
    """

    def __init__(self, size: int = 224, fit: str = 'crop') -> None:
        if fit not in ('crop', 'stretch'):
            raise ValueError(f"fit is {fit!r}, expected 'crop' or 'stretch'")
        if size < 16:
            raise ValueError(f'size is {size}, expected 16 pixels or more')
        self.size, self.fit = size, fit

    def __call__(self, results: dict) -> dict:
        """Change ``image`` and ``mask``."""
        image, mask = results['image'], results.get('mask')
        if self.fit == 'crop':
            image = middle_square(image)
        results['image'] = resize_to_canvas(image, self.size)
        if mask is not None:
            mask = middle_square(mask) if self.fit == 'crop' else mask
            size = (self.size, self.size)
            small = Image.fromarray(mask).convert('L').resize(size)
            results['mask'] = np.asarray(small) >= 128
        return results


def middle_square(image: np.ndarray) -> np.ndarray:
    """Cut the largest square out of the middle of an image (H, W, ...)."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


@TRANSFORMS.register_module()
class PackSketchInputs:
    """Pack the target for the model.

    ``inputs`` is uint8 RGB (3, H, W). The data sample says ``img_path``,
    ``name``, ``class_name`` and ``ori_shape``, and holds ``mask``, float
    (H, W), where one is known.
    """

    META = ('img_path', 'name', 'class_name', 'ori_shape')

    def __call__(self, results: dict) -> dict:
        """Return ``inputs`` and ``data_samples``."""
        image = np.ascontiguousarray(results['image'].transpose(2, 0, 1))
        sample = BaseDataElement(
            metainfo={key: results.get(key) for key in self.META}
        )
        if results.get('mask') is not None:
            mask = results['mask'].astype(np.float32)
            sample.mask = torch.from_numpy(mask)
        return dict(inputs=torch.from_numpy(image), data_samples=sample)
