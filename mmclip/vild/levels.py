"""The neck's levels of images, and what a second source of scores looks at.

B images, C channels, h x w positions.
"""

from torch import Tensor

from mmclip.clip.image import CLIPImageEncoder


class Levels(tuple):
    """Hold the neck's levels and, beside them, what else is known of images.

    mmdet passes what ``extract_feat`` returns to its heads as it is, and they
    read it as a tuple.

    Attributes:
        region_map: A frozen CLIP's last map (B, C, h, w), or None.
        encoder: The :class:`mmclip.clip.image.CLIPImageEncoder` that made it
            and can embed its windows, or None.
        images: RGB in [0, 255] with the padding (B, 3, H, W), or None.
    """

    def __new__(
        cls,
        levels,
        region_map: Tensor | None = None,
        encoder: CLIPImageEncoder | None = None,
        images: Tensor | None = None,
    ):
        """Join them."""
        self = super().__new__(cls, levels)
        self.region_map, self.encoder = region_map, encoder
        self.images = images
        return self


def of_images(levels: tuple, part: slice) -> tuple:
    """Return the levels, plain or :class:`Levels`, of some of the B images."""
    some = tuple(level[part] for level in levels)
    if not isinstance(levels, Levels):
        return some
    region_map, images = (
        None if every is None else every[part]
        for every in (levels.region_map, levels.images)
    )
    return Levels(some, region_map, levels.encoder, images)
