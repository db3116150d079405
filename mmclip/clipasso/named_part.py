"""Ask a CLIP which part of a picture a name belongs to.

P parts, H x W pixels, D embedding width.
"""

import re

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clip.text import CLIPTextEncoder

MARGIN = 0.15  # of a part's longer side, around it
PROMPT = 'a photo of a {}.'
ARTICLE = re.compile(r'^(a|an|the)\s+', re.IGNORECASE)


@torch.no_grad()
def nearest_part(
    encoder: nn.Module, image: Tensor, parts: np.ndarray, name: Tensor
) -> int:
    """Return which part is nearest to a name, each seen as a crop.

    As ViLD (sec. 3.2) names its regions, which CLIP does better than single
    positions of its features.

    Args:
        encoder: A :class:`mmclip.clip.image.CLIPImageEncoder`.
        image: RGB in [0, 1] (3, H, W).
        parts: bool (P, H, W), none of them empty.
        name: Unit embedding (D,).
    """
    side = getattr(encoder.tower.visual, 'image_size', None) or len(parts[0])
    side = side if isinstance(side, int) else side[0]
    crops = torch.stack([crop_part(image, part, side) for part in parts])
    seen = encoder.pooled(encoder.normalise(crops))  # (P, D)
    return int((seen @ name.to(seen)).argmax())


def crop_part(image: Tensor, part: np.ndarray, side: int) -> Tensor:
    """Cut out the square around a part, (3, side, side).

    Beyond the picture its border goes on.

    Args:
        image: RGB (3, H, W).
        part: bool (H, W), not empty.
        side: Pixels.
    """
    size = image.new_tensor(part.shape)[[1, 0]]  # (W, H), as x and y are
    rows, columns = np.nonzero(part)
    first = image.new_tensor([columns.min(), rows.min()])
    last = image.new_tensor([columns.max(), rows.max()]) + 1
    half = (last - first).max() * (0.5 + MARGIN)
    steps = (torch.arange(side).to(image) + 0.5) * 2 / side - 1
    around = torch.stack(torch.meshgrid(steps, steps, indexing='xy'), -1)
    where = ((first + last) / 2 + half * around) * 2 / size - 1
    return F.grid_sample(
        image[None], where[None], padding_mode='border', align_corners=False
    )[0]


def name_embeddings(names: list[str], text: dict) -> Tensor:
    """Embed names, (names, D) of length 1.

    Args:
        names: Such as 'cat' or 'a cat'.
        text: Settings of :class:`mmclip.clip.text.CLIPTextEncoder`.
    """
    encoder = CLIPTextEncoder(**text)
    bare = [ARTICLE.sub('', name.strip(), count=1) for name in names]
    return encoder.encode([PROMPT.format(name) for name in bare])
