"""Time the crops of proposals against PIL and torchvision's preprocessing.

Both sides cut 300 boxes at 1 and 1.5 times their size out of one photograph
and bring them to CLIP's input; they take turns box by box and are compared
pixel by pixel. Ends with 1 where the fidelity is below 50 dB.
"""

import argparse
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, Resize
from torchvision.transforms import InterpolationMode as Mode

from mmclip.vild.crops import crop_boxes, integer_boxes, scale_boxes

WANTED = 50  # dB
SCALES = (1.0, 1.5)


def photograph(side: int) -> np.ndarray:
    """Return matplotlib's sample photograph, its longer side as wanted."""
    from matplotlib.cbook import get_sample_data

    with get_sample_data('grace_hopper.jpg') as file:
        picture = Image.open(file).convert('RGB')
    scale = side / max(picture.size)
    sides = [round(scale * s) for s in picture.size]
    return np.array(picture.resize(sides, Image.LANCZOS))


def draw_boxes(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Draw boxes (N, 4) inside an image, sides of 8 pixels to the whole."""
    rng = np.random.default_rng(seed)
    sides = 8 * (np.array([width, height]) / 8) ** rng.uniform(
        0, 1, (count, 2)
    )
    low = rng.uniform(0, 1, (count, 2)) * ([width, height] - sides)
    return torch.tensor(np.concatenate([low, low + sides], 1)).float()


def theirs(picture: Image.Image, box: list[int], size: int) -> Tensor:
    """Cut and preprocess one box as CLIP's own code does, uint8 (3, S, S)."""
    steps = Compose([Resize(size, Mode.BICUBIC), CenterCrop(size)])
    pixels = np.array(steps(picture.crop(box)))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def measure(pixels: np.ndarray, boxes: Tensor, size: int) -> tuple:
    """Return PIL's seconds and ours, and the fidelity of each crop in dB."""
    picture = Image.fromarray(pixels)
    image = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
    seconds, fidelity = [0.0, 0.0], []
    for k, box in enumerate(boxes[:, None]):
        for scale in SCALES:
            whole = integer_boxes(scale_boxes(box, scale))[0].tolist()
            sides = [
                lambda whole=whole: theirs(picture, whole, size),
                lambda box=box, scale=scale: next(
                    crop_boxes(image, box, scale, size)
                ),
            ]
            found = [None, None]
            for turn in (0, 1) if k % 2 else (1, 0):
                start = time.perf_counter()
                found[turn] = sides[turn]()
                seconds[turn] += time.perf_counter() - start
            fidelity.append(psnr(*found))
    return *seconds, torch.tensor(fidelity)


def psnr(theirs: Tensor, ours: Tensor) -> float:
    """Return the fidelity of one crop in dB; 100 for equal ones."""
    error = (theirs.float() - ours.float()).square().mean().clamp(min=6.5e-6)
    return float(10 * torch.log10(255**2 / error))


def report(pil: float, own: float, fidelity: Tensor, size: int) -> int:
    """Print both sides, ratio and fidelity; return the exit code."""
    count = len(fidelity)
    print(
        f'{count} crops to {size} x {size}, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}, CPU'
    )
    print(f'PIL and torchvision  {pil:8.2f} s   {1e3 * pil / count:6.2f} each')
    print(f'mmclip               {own:8.2f} s   {1e3 * own / count:6.2f} each')
    print(f'ratio                {pil / own:8.2f}')
    print(
        f'fidelity to PIL      {fidelity.min():8.1f} dB at worst, median '
        f'{fidelity.median():.1f} (wanted: {WANTED})'
    )
    return int(fidelity.min() < WANTED)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 where the crops are not PIL's."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--boxes', type=int, default=300)
    parser.add_argument('--side', type=int, default=640)
    parser.add_argument('--size', type=int, default=224)
    args = parser.parse_args(argv)
    pixels = photograph(args.side)
    boxes = draw_boxes(args.boxes, *pixels.shape[:2])
    measure(pixels, boxes[:4], args.size)  # warm up
    return report(*measure(pixels, boxes, args.size), args.size)


if __name__ == '__main__':
    sys.exit(main())
