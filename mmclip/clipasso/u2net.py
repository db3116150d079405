"""U2-Net, which finds what is salient: the release masks photographs with it.

C channels, H x W pixels, T stages.

Source: Qin et al., U2-Net, Pattern Recognition 2020, fig. 5 and table 2.
Parameters are called as in the published files, so these load as they are.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clip.checkpoint import read_state
from mmclip.registry import TASK_UTILS

DEPTHS = (7, 6, 5, 4, 4, 4)  # of the stages; the last two do not pool
POOLED = 4
# Of RGB in [0, 1]: ImageNet's, as the network was trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ConvBNReLU(nn.Module):
    """A 3 x 3 convolution, a batch norm and a ReLU."""

    def __init__(self, inside: int, out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(
            inside, out, 3, padding=dilation, dilation=dilation
        )
        self.bn_s1 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Run on (B, C, H, W)."""
        return F.relu(self.bn_s1(self.conv_s1(x)))


class ResidualUBlock(nn.Module):
    """A U-Net whose input is added to its output (fig. 2).

    Args:
        depth: Convolutions on the way down.
        inside: C of the input.
        middle: C within.
        out: C of the output.
        pool: Whether maps shrink on the way down; else dilation grows.
    """

    def __init__(
        self, depth: int, inside: int, middle: int, out: int, pool: bool
    ) -> None:
        super().__init__()
        self.depth, self.pool = depth, pool
        self.rebnconvin = ConvBNReLU(inside, out)
        for k in range(1, depth + 1):
            wide = out if k == 1 else middle
            reach = 1 + (k == depth) if pool else 2 ** (k - 1)
            self.add_module(f'rebnconv{k}', ConvBNReLU(wide, middle, reach))
        for k in range(depth - 1, 0, -1):
            wide = out if k == 1 else middle
            reach = 1 if pool else 2 ** (k - 1)
            self.add_module(
                f'rebnconv{k}d', ConvBNReLU(2 * middle, wide, reach)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Run on (B, C, H, W)."""
        entered = x = self.rebnconvin(x)
        kept = []
        for k in range(1, self.depth + 1):
            if self.pool and 1 < k < self.depth:
                x = halve(x)
            x = getattr(self, f'rebnconv{k}')(x)
            kept.append(x)
        for k in range(self.depth - 1, 0, -1):
            x = getattr(self, f'rebnconv{k}d')(beside(x, kept[k - 1]))
        return x + entered


class U2Net(nn.Module):
    """Map pictures to how salient each pixel is.

    Args:
        down: C within and behind each stage, T pairs.
        up: Likewise of the decoder's stages, the finest first, T - 1 pairs.
    """

    def __init__(
        self, down: Sequence[tuple[int, int]], up: Sequence[tuple[int, int]]
    ) -> None:
        super().__init__()
        wide = 3
        for k, (depth, widths) in enumerate(zip(DEPTHS, down), start=1):
            block = ResidualUBlock(depth, wide, *widths, pool=k <= POOLED)
            self.add_module(f'stage{k}', block)
            wide = widths[1]
        self.side6 = nn.Conv2d(wide, 1, 3, padding=1)
        for k in range(len(up), 0, -1):
            wide += down[k - 1][1]
            block = ResidualUBlock(
                DEPTHS[k - 1], wide, *up[k - 1], pool=k <= POOLED
            )
            self.add_module(f'stage{k}d', block)
            wide = up[k - 1][1]
            self.add_module(f'side{k}', nn.Conv2d(wide, 1, 3, padding=1))
        self.outconv = nn.Conv2d(len(DEPTHS), 1, 1)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> 'U2Net':
        """Build the network, full or small, that a state dict is of."""
        down, up = (
            [
                tuple(
                    len(state[f'stage{k}{end}.{layer}.conv_s1.bias'])
                    for layer in ('rebnconv1', 'rebnconvin')
                )
                for k in range(1, count + 1)
            ]
            for end, count in (('', len(DEPTHS)), ('d', len(DEPTHS) - 1))
        )
        network = cls(down, up)
        network.load_state_dict(state)
        return network.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return saliency in [0, 1] (B, H, W) of normalised (B, 3, H, W)."""
        size, kept = x.shape[2:], []
        for k in range(len(DEPTHS)):
            x = getattr(self, f'stage{k + 1}')(halve(x) if k else x)
            kept.append(x)
        sides = [self.side6(x)]
        for k in range(len(DEPTHS) - 1, 0, -1):
            x = getattr(self, f'stage{k}d')(beside(x, kept[k - 1]))
            sides.append(getattr(self, f'side{k}')(x))
        sides = [enlarged(side, size) for side in reversed(sides)]
        return self.outconv(torch.cat(sides, dim=1)).sigmoid()[:, 0]


def halve(x: Tensor) -> Tensor:
    """Pool maps to half of their sides, rounded up."""
    return F.max_pool2d(x, 2, stride=2, ceil_mode=True)


def enlarged(x: Tensor, size) -> Tensor:
    """Bring maps to another size."""
    return F.interpolate(x, size, mode='bilinear', align_corners=False)


def beside(x: Tensor, kept: Tensor) -> Tensor:
    """Enlarge what comes from below and lay it beside what was kept."""
    return torch.cat([enlarged(x, kept.shape[2:]), kept], dim=1)


@TASK_UTILS.register_module()
class SalientForeground:
    """Mask photographs with U2-Net, as CLIPasso's release does.

    Args:
        checkpoint: Weights of U2-Net or of its small variant, U2-Net-p, in
            their published layout (.pth or .safetensors).
        side: Pixels to which pictures are brought for it.

    Raises:
        ValueError: The file holds something else.
    """

    def __init__(self, checkpoint: str, side: int = 320) -> None:
        self.side = side
        state = read_state(checkpoint)
        state = {
            key: value.float() if value.is_floating_point() else value
            for key, value in state.items()
        }
        try:
            self.network = U2Net.from_state(state)
        except (KeyError, RuntimeError) as error:
            raise ValueError(
                f"'{checkpoint}' is no U2-Net: {str(error)[:200]}"
            ) from error

    @torch.no_grad()
    def __call__(
        self, image: np.ndarray, class_name: str | None = None
    ) -> np.ndarray:
        """Mask one image.

        Args:
            image: uint8 RGB (H, W, 3).
            class_name: Not asked for: what is salient has no name.

        Returns:
            bool (H, W).
        """
        rgb = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255
        size = (self.side, self.side)
        small = F.interpolate(rgb, size, mode='bilinear', antialias=True)
        mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
        found = self.network((small - mean) / std)[:, None]
        return (enlarged(found, image.shape[:2]) >= 0.5)[0, 0].numpy()
