"""Measure what the options beyond the paper reach, on drawn pictures.

Three limitations that CLIPasso's authors name, each with its option:

- background: ink that lies outside of the object (more than 2.6 % of the side
  away from it), of the raw picture, of the one whose background is cut off,
  and of the foreground-weighted loss on the raw picture;
- order: how soon a sketch that is drawn stroke by stroke is one (prefix AUC);
- count: how many of 32 strokes are kept of drawings of 4 and of 12.

All runs are those of SketchTrainLoop on PixelPyramid, or on shapes-clip for
the background, whose masks are true ones but in the last row. Each line is a
mean over pictures; every method has the same pictures and starts.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

# started as a script, Python looks beside this file, not above it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.sketch_runs import save_pictures, sketch  # noqa: E402
from mmclip.clipasso import AnalyticRasterizer, Drawing  # noqa: E402
from mmclip.clipasso.ordering import (  # noqa: E402
    measure_subsets,
    order_sketch,
    prefix_auc,
    prefix_losses,
)
from mmclip.data.shapes import draw_scene  # noqa: E402

SIDE = 96
NEAR = round(6 * SIDE / 224)  # pixels around an object that count as it
SCALES = dict(scale1=1.0, scale2=1.0, scale4=1.0, scale8=1.0)
LAYERS = dict(layer0=1.0, layer1=1.0, layer2=1.0)  # of shapes-clip
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.4)


def cluttered(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an outlined object before dark lines, and its mask."""
    scene = draw_scene((7, number), SIDE, objects=(1, 1), radius=(0.24, 0.34))
    behind = draw_scene((9, number), SIDE, objects=(0, 0)).image
    image = 255 - 0.35 * (255 - behind.astype(np.float64))
    random = np.random.RandomState(number)
    for _ in range(8):
        ends = (random.rand(2, 2) * SIDE).astype(int).tolist()
        cv2.line(image, *map(tuple, ends), (40, 40, 40), 2, cv2.LINE_AA)
    mask = scene.objects[0].mask
    image[mask] = scene.image[mask]
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(image, outlines, -1, (10, 10, 10), 2, cv2.LINE_AA)
    return image.clip(0, 255).astype(np.uint8), mask


def drawn(strokes: int, seed: int) -> np.ndarray:
    """Return a drawing of so many arcs, each in a place of its own."""
    random = np.random.RandomState(seed)
    cells = random.permutation(16)[:strokes]
    centre = (np.stack([cells % 4, cells // 4], 1) + 0.5) * SIDE / 4
    angle = random.rand(strokes) * 2 * np.pi
    along = np.stack([np.cos(angle), np.sin(angle)], 1)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    half = 13 + 6 * random.rand(strokes)
    bend = np.zeros((strokes, 4))
    bend[:, 1:3] = 6 * random.randn(strokes, 2)
    steps = half[:, None] * np.array([-1, -1 / 3, 1 / 3, 1])  # (N, 4)
    points = centre[:, None] + steps[..., None] * along[:, None]
    points = points + bend[..., None] * across[:, None]
    points = torch.from_numpy(points).float()[:, None]
    black = torch.tensor([0.0, 0, 0, 1]).expand(strokes, 4)
    width = torch.full((strokes,), 1.5)
    return picture(Drawing(points, width, black, (SIDE, SIDE)))


def ink(drawing: Drawing) -> np.ndarray:
    """Return the ink of a drawing, (H, W) in [0, 1]."""
    strokes = (v[None] for v in (drawing.points, drawing.width, drawing.rgba))
    return AnalyticRasterizer()(*strokes, drawing.size)[0, 3].numpy()


def picture(drawing: Drawing) -> np.ndarray:
    """Return a drawing as uint8 RGB (H, W, 3)."""
    grey = (255 * (1 - ink(drawing))).round().astype(np.uint8)
    return grey[..., None].repeat(3, 2)


def leak(drawing: Drawing, mask: np.ndarray) -> float:
    """Return the share of ink that is farther than NEAR from an object."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * NEAR + 1,) * 2)
    near = cv2.dilate(mask.astype(np.uint8), disc) > 0
    drawn_ink = ink(drawing)
    return float(drawn_ink[~near].sum() / max(drawn_ink.sum(), 1e-6))


def model(losses: list[dict], strokes: int, **changes) -> dict:
    """Return the config of a sketcher of one seed."""
    return dict(
        type='mmclip.CLIPassoSketcher',
        clip=dict(type='mmclip.PixelPyramid'),
        losses=losses,
        stroke_init=dict(type='mmclip.RandomStrokeInit', on_ink=True),
        num_strokes=strokes,
        num_seeds=1,
        **changes,
    )


def traced(*extra: dict) -> list[dict]:
    """Return the loss over pixels, and further ones."""
    return [dict(type='mmclip.CLIPGeometricLoss', layers=SCALES), *extra]


def seen(losses: list[dict]) -> dict:
    """Return the config of a sketcher that sees with shapes-clip."""
    changed = model(losses, strokes=12, width=1.0)
    changed['clip'] = dict(model='shapes-clip')
    changed['augment'] = dict(
        type='mmclip.PairedAugment', num_views=2, size=SIDE
    )
    changed['stroke_init'] = dict(
        type='mmclip.SaliencyStrokeInit', source='activation'
    )
    return changed


def background(
    folder: Path, runs: int, iters: int, clip: bool = True
) -> dict[str, list]:
    """Return (leak, drawing, target) of each run by method."""
    scenes, masks = zip(*(cluttered(k) for k in range(runs)))
    images = save_pictures(folder, 'scene', scenes)
    whites = [(255 * mask).astype(np.uint8) for mask in masks]
    files = save_pictures(folder / 'masks', 'scene', whites)
    foreground = dict(type='mmclip.ForegroundWeightedLoss')
    if clip:
        plain = [
            dict(type='mmclip.CLIPGeometricLoss', layers=LAYERS),
            dict(type='mmclip.CLIPSemanticLoss'),
        ]
        foreground['layers'] = LAYERS
    else:
        plain = traced()
        foreground |= dict(layers=SCALES, semantic=0.0)
    ways = {
        'raw': (plain, {}),
        'cut off': (plain, dict(masks=files)),
        'weighted': ([foreground], dict(masks=files, whiten=False)),
        'no mask given': ([foreground], {}),
    }
    if clip:
        by_saliency = [dict(foreground, source='saliency')]
        ways['weighted by saliency'] = (by_saliency, {})
    found = {}
    for name, (losses, rest) in ways.items():
        config = seen(losses) if clip else model(losses, 12, width=1.0)
        _, records = sketch(folder / name, images, config, iters, **rest)
        found[name] = [
            (leak(record.drawing, mask), record.drawing, scene)
            for record, mask, scene in zip(records, masks, scenes)
        ]
    return found


def order(folder: Path, runs: int, iters: int = 300) -> dict[str, list]:
    """Return (AUC, final loss, drawing in its order) of each run."""
    images = save_pictures(
        folder, 'drawn', [drawn(14, k) for k in range(runs)]
    )
    third = iters // 3
    nested = dict(
        type='mmclip.NestedStrokeLoss', arrange_at=(third, 2 * third)
    )
    found = {'index order': [], 'greedy order': [], 'nested': []}
    for name, losses in (
        ('index order', traced()),
        ('nested', traced(nested)),
    ):
        runner, records = sketch(
            folder / name, images, model(losses, 12), iters
        )
        runner.model.strokes.start([record.drawing for record in records])
        for k, record in enumerate(records):
            found[name].append(judge(runner.model, k, record.drawing))
            if name == 'index order':
                greedy = order_sketch(runner.model, k)
                found['greedy order'].append(
                    judge(runner.model, k, record.drawing, greedy)
                )
    return found


def judge(sketcher, number: int, drawing: Drawing, arranged=None):
    """Return AUC, final loss and the drawing in an order."""
    arranged = arranged or list(range(len(drawing.points)))
    losses = prefix_losses(measure_subsets(sketcher, number), arranged)
    parts = (drawing.points, drawing.width, drawing.rgba)
    ordered = Drawing(*(v[arranged] for v in parts), drawing.size)
    return prefix_auc(losses), float(losses[-1]), ordered


def count(
    folder: Path, runs: int, levels=LEVELS, counts=(4, 12)
) -> dict[tuple[int, float], list]:
    """Return (strokes kept, drawing) of each run by (true count, level)."""
    targets = [drawn(n, k) for n in counts for k in range(runs)]
    images = save_pictures(folder, 'drawn', targets)
    found = {}
    for level in levels:
        losses = traced(dict(type='mmclip.StrokeCountLoss', abstraction=level))
        _, records = sketch(
            folder / f'level{level}', images, model(losses, 32), 650
        )
        for k, n in enumerate(counts):
            some = records[k * runs : (k + 1) * runs]
            found[n, level] = [
                (len(r.drawing.points), r.drawing) for r in some
            ]
    return found


def first(values: list) -> list[float]:
    """Return the first numbers of tuples."""
    return [value[0] for value in values]


def report_background(found: dict, name: str) -> None:
    """Print leaks beside their limits."""
    print(f'ink leak, {name}, {len(found["raw"])} pictures')
    means = {key: float(np.mean(first(v))) for key, v in found.items()}
    for key, value in means.items():
        runs = ' '.join(f'{leaked:.2f}' for leaked in first(found[key]))
        print(f'  {key:20} {value:.3f}  ({runs})')
    for name, true in (('weighted', 'cut off'), ('no mask given', 'weighted')):
        limit = min(means['raw'] / 3, means[true] + 0.02)
        print(f'  wanted of {name}: at most {limit:.3f}')


def report_order(found: dict) -> None:
    """Print prefix AUCs, their paired differences and final losses."""
    print(f'prefix AUC and final loss, {len(found["nested"])} pictures')
    for key, values in found.items():
        auc, loss = (np.mean([v[k] for v in values]) for k in (0, 1))
        print(f'  {key:14} {auc:.3f}  {loss:.4f}')
    for a, b in (('nested', 'greedy order'), ('greedy order', 'index order')):
        more = np.subtract(first(found[a]), first(found[b]))
        spread = more.std(ddof=1) / len(more) ** 0.5 if len(more) > 1 else 0
        print(
            f'  {a} less {b}: {more.mean():+.3f} +- {spread:.3f}, '
            f'{(more > 0).sum()} of {len(more)} above 0 (wanted: mean > 0)'
        )
    ratio = np.mean([v[1] for v in found['nested']])
    ratio /= np.mean([v[1] for v in found['index order']])
    print(f'  final loss, nested over plain: {ratio:.3f} (wanted: <= 1.05)')


def report_count(found: dict) -> None:
    """Print how many strokes are kept, by level."""
    runs = len(next(iter(found.values())))
    print(f'strokes kept of 32, {runs} pictures each')
    for (true, level), values in found.items():
        kept = first(values)
        print(
            f'  {true:2} drawn, abstraction {level:4}: mean '
            f'{np.mean(kept):5.2f}, from {min(kept)} to {max(kept)}'
        )
    for true in sorted({key[0] for key in found}):
        means = [np.mean(first(v)) for k, v in found.items() if k[0] == true]
        falls = all(a >= b for a, b in zip(means, means[1:]))
        print(f'  {true} drawn: falls with the level: {falls}')


def rows(*lines: list[np.ndarray]) -> np.ndarray:
    """Lay pictures out in lines, a pale border around each."""
    framed = [
        np.concatenate(
            [
                np.pad(p, ((2, 2), (2, 2), (0, 0)), constant_values=225)
                for p in line
            ],
            axis=1,
        )
        for line in lines
    ]
    wide = max(line.shape[1] for line in framed)
    return np.concatenate(
        [
            np.pad(
                line,
                ((0, 0), (0, wide - line.shape[1]), (0, 0)),
                constant_values=255,
            )
            for line in framed
        ]
    )


def save(path: Path, image: np.ndarray) -> None:
    """Save a picture of few greys or colours small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).quantize(64).save(path, optimize=True)


def show_background(found: dict) -> np.ndarray:
    """Return targets and the sketches of each method below."""
    targets = [scene for _, _, scene in found['raw']][:8]
    methods = [[picture(d) for _, d, _ in v][:8] for v in found.values()]
    return rows(targets, *methods)


def show_order(found: dict, run: int = 0) -> np.ndarray:
    """Return the first 1, 2, 4, 6, 9, 12 strokes of each order."""
    lines = []
    for values in found.values():
        whole = values[run][2]
        parts = (whole.points, whole.width, whole.rgba)
        lines.append(
            [
                picture(Drawing(*(v[:k] for v in parts), whole.size))
                for k in (1, 2, 4, 6, 9, 12)
            ]
        )
    return rows(*lines)


def show_count(found: dict, run: int = 0) -> np.ndarray:
    """Return the sketches of each level, a line for each true count."""
    lines = []
    for true in sorted({key[0] for key in found}):
        target = [drawn(true, run)]
        sketches = [
            picture(v[run][1]) for k, v in found.items() if k[0] == true
        ]
        lines.append(target + sketches)
    return rows(*lines)


def main(argv: list[str] | None = None) -> int:
    """Run what is asked for; print figures, save pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    parts = ('background', 'order', 'count')
    add('--parts', nargs='+', choices=parts, default=parts)
    add('--runs', type=int, default=8, help='pictures of each method')
    add('--iters', type=int, default=150, help='steps of the background')
    add('--pictures', type=Path, help='folder for pictures')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in args.parts:
            run_part(part, folder / part, args)
    return 0


def run_part(part: str, folder: Path, args) -> None:
    """Run one part, print its figures, save its picture."""
    if part == 'background':
        traced_found = background(
            folder / 'pixels', args.runs, args.iters, False
        )
        report_background(traced_found, 'pixels')
        found = background(folder / 'clip', args.runs, args.iters)
        report_background(found, 'shapes-clip')
        shown = show_background(traced_found)
    elif part == 'order':
        found = order(folder, args.runs)
        report_order(found)
        shown = show_order(found)
    else:
        found = count(folder, args.runs)
        report_count(found)
        shown = show_count(found)
    if args.pictures:
        save(args.pictures / f'sketch_{part}.png', shown)
    sys.stdout.flush()


if __name__ == '__main__':
    sys.exit(main())
