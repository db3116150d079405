"""The neck's levels of images, with what a frozen CLIP says beside them.

B images, C channels, h x w positions.
"""

from torch import Tensor

from mmclip.clip.image import CLIPImageEncoder


class Levels(tuple):
    """Hold the neck's levels and, beside them, CLIP's map of the images.

    mmdet passes what ``extract_feat`` returns to its heads as it is, and they
    read it as a tuple.

    Attributes:
        region_map: (B, C, h, w).
        encoder: The :class:`mmclip.clip.image.CLIPImageEncoder` that made it
            and can embed its windows.
    """

    def __new__(cls, levels, region_map: Tensor, encoder: CLIPImageEncoder):
        """Join them."""
        self = super().__new__(cls, levels)
        self.region_map, self.encoder = region_map, encoder
        return self


def of_images(levels: tuple, part: slice) -> tuple:
    """Return the levels, plain or :class:`Levels`, of some of the B images."""
    some = tuple(level[part] for level in levels)
    if isinstance(levels, Levels):
        return Levels(some, levels.region_map[part], levels.encoder)
    return some
