"""Segment with a CLIP as it is: nothing is trained (MaskCLIP, SCLIP).

B images, D embedding width, h x w positions of the tower.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clip.image import CLIPImageEncoder
from mmclip.lseg.head import LSegHead
from mmclip.registry import MODELS


@MODELS.register_module()
class DenseCLIPEncoder(CLIPImageEncoder):
    """A frozen CLIP whose map lies in the text space.

    Args:
        args: As for :class:`mmclip.clip.image.CLIPImageEncoder`.
        attention: Of a ViT's last block, ``'values'`` (MaskCLIP, section
            3.3) or ``'self'`` (SCLIP, section 3.2).
        zoom: How much images are enlarged.
        kwargs: As there.
    """

    def __init__(
        self, *args, attention: str = 'values', zoom: float = 1.0, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.dense_attention, self.zoom = attention, zoom

    def forward(self, x: Tensor) -> Tensor:
        """Embed every position of normalised images, (B, D, h, w)."""
        if self.zoom != 1:
            x = F.interpolate(x, scale_factor=self.zoom, mode='bilinear')
        return self.dense(x, attention=self.dense_attention)


@MODELS.register_module()
class CLIPDenseHead(LSegHead):
    """An ``LSegHead`` upon :class:`DenseCLIPEncoder`, without parameters.

    Args:
        vocabulary: As for :class:`LSegHead`; so are the other arguments.
    """

    def __init__(
        self, vocabulary: dict, *, align_corners: bool = False, **kwargs
    ) -> None:
        super().__init__(vocabulary, 1, align_corners=align_corners, **kwargs)
        self.project = nn.Identity()
