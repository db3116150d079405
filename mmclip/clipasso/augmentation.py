"""Show a sketch and its photograph to CLIP from the same changed viewpoints.

V views, M pictures, K = V, or 1 + V with the plain picture first.

Convention: corners are (x, y) pixel indices as in torchvision's
``perspective``; crops are (top, left, height, width).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import transforms
from torchvision.transforms import functional as TF

from mmclip.registry import MODELS


@dataclass
class Views:
    """Say how V views look at a picture.

    Attributes:
        start: Corners of the picture (V, 4, 2).
        end: Where a perspective moves them (V, 4, 2).
        crop: What is then cut out (V, 4).
        members: Their numbers in the bank (V,), ``None`` where there is none.
    """

    start: Tensor
    end: Tensor
    crop: Tensor
    members: Tensor | None = None

    def __len__(self) -> int:
        return len(self.crop)

    def __getitem__(self, index) -> 'Views':
        """Return some of the views."""
        parts = (self.start, self.end, self.crop, self.members)
        return Views(*(None if v is None else v[index] for v in parts))


@MODELS.register_module()
class PairedAugment(nn.Module):
    """Change perspective and crop, the same way for all pictures of a call.

    Source: CLIPasso, sec. 4.1 and its release: perspective with distortion
    .5, a crop of .8 of the area, 4 views beside the plain picture.

    Args:
        num_views: V.
        distortion_scale: As of torchvision's ``RandomPerspective``.
        crop_scale: Share of the area that a crop keeps.
        size: Side of the views in pixels.
        fill: Grey outside of the picture; the release has black.
        plain: Whether the picture itself comes first.
        fused: Whether both steps are one sampling. ``False`` samples twice,
            as the release does, which is slower and blurs.
        mode: ``'random'`` draws new views in every call, ``'bank'`` takes
            those of a call from a fixed set, so that what CLIP sees of a
            target need not be computed again.
        bank_size: Views in the set. The same size gives the same views.

    Raises:
        ValueError: ``mode`` is neither, or the bank is smaller than V.
    """

    def __init__(
        self,
        num_views: int = 4,
        distortion_scale: float = 0.5,
        crop_scale: float = 0.8,
        size: int = 224,
        fill: float = 0.0,
        plain: bool = True,
        fused: bool = True,
        mode: str = 'random',
        bank_size: int = 64,
    ) -> None:
        super().__init__()
        if mode not in ('random', 'bank'):
            raise ValueError(f"mode is {mode!r}, expected 'random' or 'bank'")
        if mode == 'bank' and bank_size < num_views:
            raise ValueError(
                f'bank_size is {bank_size}, expected num_views={num_views} or '
                'more'
            )
        self.mode, self.bank_size = mode, bank_size
        self.banks: dict[tuple[int, int], Views] = {}
        self.num_views = num_views
        self.distortion_scale, self.crop_scale = distortion_scale, crop_scale
        self.size, self.fill = size, fill
        self.plain, self.fused = plain, fused

    def draw(self, height: int, width: int) -> Views:
        """Draw views of pictures of a size, by torch's global generator."""
        if self.mode == 'random':
            return self.draw_new(height, width, self.num_views)
        if (height, width) not in self.banks:
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(0)  # a resumed run needs the same bank
                bank = self.draw_new(height, width, self.bank_size)
            bank.members = torch.arange(self.bank_size)
            self.banks[height, width] = bank
        some = torch.randperm(self.bank_size)[: self.num_views]
        return self.banks[height, width][some]

    def draw_new(self, height: int, width: int, count: int) -> Views:
        """Draw so many views, the numbers in the release's order."""
        picture = torch.empty(1, height, width)
        scale = (self.crop_scale, self.crop_scale)
        starts, ends, crops = [], [], []
        for _ in range(count):
            torch.rand(1)  # whether to change at all; the answer is yes
            start, end = transforms.RandomPerspective.get_params(
                width, height, self.distortion_scale
            )
            crop = transforms.RandomResizedCrop.get_params(
                picture, scale, (1.0, 1.0)
            )
            starts.append(start)
            ends.append(end)
            crops.append(crop)
        return Views(
            torch.tensor(starts, dtype=torch.float64).reshape(-1, 4, 2),
            torch.tensor(ends, dtype=torch.float64).reshape(-1, 4, 2),
            torch.tensor(crops, dtype=torch.long).reshape(-1, 4),
        )

    def forward(
        self, *pictures: Tensor, views: Views | None = None
    ) -> list[Tensor]:
        """Look at pictures of one size.

        Args:
            pictures: Each (M, 3, H, W) in [0, 1]; M may differ.
            views: As ``draw`` gives them; drawn anew by default.

        Returns:
            For each argument (K * M, 3, size, size): all M of a view, then
            those of the next.

        Raises:
            ValueError: The pictures differ in size, or the plain one does
                not have the size of the views.
        """
        height, width = pictures[0].shape[2:]
        if any(p.shape[2:] != (height, width) for p in pictures):
            sizes = [tuple(p.shape[2:]) for p in pictures]
            raise ValueError(f'pictures of one size are expected, got {sizes}')
        if self.plain and (height, width) != (self.size, self.size):
            raise ValueError(
                f'pictures of {height} x {width} are compared plainly with '
                f'views of {self.size} x {self.size}: set size={height} or '
                'resize them'
            )
        views = self.draw(height, width) if views is None else views
        look = look_fused if self.fused else look_twice
        looked = []
        for picture in pictures:
            shown = look(picture, views, self.size, self.fill)
            shown = shown.flatten(0, 1)
            looked.append(torch.cat([picture, shown]) if self.plain else shown)
        return looked


def look_twice(
    pictures: Tensor, views: Views, size: int, fill: float
) -> Tensor:
    """Warp, then crop and resize (M, 3, H, W): (V, M, 3, size, size)."""
    shown = []
    for start, end, crop in zip(views.start, views.end, views.crop):
        warped = TF.perspective(
            pictures,
            start.tolist(),
            end.tolist(),
            fill=[fill] * pictures.shape[1],
        )
        shown.append(
            TF.resized_crop(
                warped, *crop.tolist(), [size, size], antialias=True
            )
        )
    if not shown:
        return pictures.new_empty(0, len(pictures), 3, size, size)
    return torch.stack(shown)


def look_fused(
    pictures: Tensor, views: Views, size: int, fill: float
) -> Tensor:
    """Sample (M, 3, H, W) once for both steps: (V, M, 3, size, size)."""
    count, channels, height, width = pictures.shape
    centre = torch.arange(size, dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(centre, centre, indexing='ij')
    here = torch.stack([x, y, torch.ones_like(x)]).flatten(1)  # (3, size^2)
    there = homographies(views, size) @ here  # (V, 3, size^2)
    there = there[:, :2] / there[:, 2:]
    there = there / there.new_tensor([[width], [height]]) * 2 - 1
    grid = there.transpose(1, 2).unflatten(1, (size, size))
    # all pictures of a view share its grid: they are sampled as channels
    flat = (pictures - fill).reshape(1, -1, height, width)
    shown = F.grid_sample(
        flat.expand(len(views), -1, -1, -1),
        grid.to(pictures),
        align_corners=False,
    )
    return shown.unflatten(1, (count, channels)) + fill


def homographies(views: Views, size: int) -> Tensor:
    """Return matrices (V, 3, 3) from a view's pixels to the picture's."""
    top, left, high, wide = views.crop.double().unbind(1)
    crop = torch.zeros(len(views), 3, 3, dtype=torch.float64)
    crop[:, 0, 0], crop[:, 0, 2] = wide / size, left
    crop[:, 1, 1], crop[:, 1, 2] = high / size, top
    crop[:, 2, 2] = 1
    return perspectives(views.end, views.start) @ crop


def perspectives(source: Tensor, target: Tensor) -> Tensor:
    """Return matrices (V, 3, 3) that map four points to others (V, 4, 2)."""
    x, y = source.double().unbind(2)  # (V, 4)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    u, v = target.double().unbind(2)
    for_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], 2)
    for_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], 2)
    system = torch.cat([for_u, for_v], dim=1)  # (V, 8, 8)
    solved = torch.linalg.solve(system, torch.cat([u, v], dim=1))
    return torch.cat([solved, one[:, :1]], dim=1).unflatten(1, (3, 3))
