import pytest
import torch

from mmclip.models import ViLDRoIExtractor


def bilinear(level, y, x):
    """The release's rule: neighbours of (y, x), clipped to the level."""
    height, width = level.shape[-2:]
    y0, x0 = int(min(y // 1, height - 1)), int(min(x // 1, width - 1))
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    dy, dx = y - y0, x - x0
    return (
        (1 - dy) * (1 - dx) * level[..., y0, x0]
        + (1 - dy) * dx * level[..., y0, x1]
        + dy * (1 - dx) * level[..., y1, x0]
        + dy * dx * level[..., y1, x1]
    )


@pytest.mark.parametrize(
    'box',
    [
        (8.0, 4.0, 36.0, 46.0),
        (10.3, 11.7, 11.2, 12.1),  # smaller than a pixel of the level
        (0.0, 0.0, 60.0, 60.0),
    ],
)
def test_each_bin_is_one_sample_of_the_grid_points(box):
    level = torch.randn(1, 3, 16, 16, dtype=torch.float64).float()
    extractor = ViLDRoIExtractor(7, 3, [4])
    pooled = extractor((level,), torch.tensor([[0, *box]]))[0]  # (3, 7, 7)
    x1, y1, x2, y2 = (side / 4 for side in box)
    for i in range(7):
        for j in range(7):
            y = y1 + (i + 0.5) * (y2 - y1) / 7
            x = x1 + (j + 0.5) * (x2 - x1) / 7
            torch.testing.assert_close(
                pooled[:, i, j], bilinear(level, y, x)[0], rtol=1e-3, atol=1e-4
            )


def test_large_regions_come_from_p6():
    levels = [torch.full((1, 1, 1024 // s, 1024 // s), s) for s in (4, 8)]
    levels += [torch.full((1, 1, 1024 // s, 1024 // s), s) for s in (16, 32)]
    levels.append(torch.full((1, 1, 16, 16), 64))
    levels = [level.float() for level in levels]
    extractor = ViLDRoIExtractor(2, 1, [4, 8, 16, 32, 64])
    sides = torch.tensor([50.0, 112, 224, 448, 896, 1000])
    rois = torch.zeros(6, 5)
    rois[:, 3:] = sides[:, None]
    found = extractor(tuple(levels), rois)[:, 0, 0, 0]
    assert found.tolist() == [4, 8, 16, 32, 64, 64]
