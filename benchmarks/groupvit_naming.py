"""What masks and names cost GroupViT, and what helps, on the shapes world.

Scenes are drawn as in the training of CONFIG, but others; ``crowded`` ones
hold more objects on a larger canvas. Each variant segments the same scenes,
with the background below a probability or a cosine, whichever is better, that
is chosen for it on scenes of another seed; the figure is the mean IoU of the
names that occur, in percent, the background not counted:

    python benchmarks/groupvit_naming.py CONFIG CHECKPOINT --oracle

``--oracle`` adds what each variant's masks would reach if every group was
called what most of its pixels are: the difference is what naming costs.
Differences to the first variant are given with their standard error over
blocks of scenes. A demonstration, no benchmark of photographs.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import load_checkpoint
from rich.console import Console
from rich.progress import track

from mmclip.data.shapes import draw_scene
from mmclip.evaluation.oracle_naming import name_by_truth
from mmclip.groupvit.from_pretraining import segmentor_config
from mmclip.groupvit.head import GroupBackground
from mmclip.jobs import find_config
from mmclip.registry import MODELS

SENTENCES = (
    'a {}',
    'the {}.',
    'a photo of a {}.',
    'a picture of a {}.',
    'an image of a {}.',
)
CLIP = dict(
    encoder=dict(type='mmclip.CLIPImageEncoder', model='shapes-clip'),
    text_encoder=dict(type='mmclip.CLIPTextEncoder', model='shapes-clip'),
    zoom=2,
)
RESCORED = dict(CLIP, logit_scale=37)  # shapes-clip's own scale
REGIONS = dict(threshold=0.6, most=12)
VARIANTS = {
    'published': {},
    'hard assignment': dict(assignment='hard'),
    'any number of names': dict(topk=None),
    'five sentences a name': dict(prompts=SENTENCES),
    'early groups merged': dict(regions=REGIONS),
    'CLIP asked too': dict(rescoring=RESCORED),
    'CLIP asked, any number': dict(rescoring=RESCORED, topk=None),
    'merged, CLIP asked': dict(regions=REGIONS, rescoring=RESCORED, topk=None),
    'windows': dict(mode='slide'),
    'windows, any number': dict(mode='slide', topk=None),
    'windows merged': dict(mode='merge'),
    'windows merged, any number': dict(mode='merge', topk=None),
    'windows merged, CLIP asked': dict(
        mode='merge', rescoring=RESCORED, topk=None
    ),
}
BACKGROUNDS = dict(
    threshold=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 0.95),
    cosine=(0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85),
)
BLOCKS = 10


@dataclass
class Scenes:
    """Images, uint8 (N, S, S, 3) RGB, and their maps, int (N, S, S).

    Label 0 is the background, k + 1 is name k.
    """

    images: np.ndarray
    truth: np.ndarray
    names: list[str]


def draw(dataset, count: int, seed: int, objects, zoom: float) -> Scenes:
    """Draw scenes with the concepts of a training set.

    Args:
        dataset: A ``ShapesPairDataset``.
        count: N.
        seed: Another than the training's.
        objects: Fewest and most objects.
        zoom: Side of the canvas over that of training; objects keep their
            size.
    """
    names = [concept.name for concept in dataset.among]
    rows = {name: k + 1 for k, name in enumerate(names)}
    side = round(dataset.size * zoom)
    radius = tuple(r / zoom for r in dataset.radius)
    images, maps = [], []
    for i in range(count):
        scene = draw_scene((seed, i), side, dataset.among, objects, radius)
        truth = np.zeros((side, side), np.int64)
        for entry in scene.objects:
            truth[entry.mask] = rows[entry.concept.name]
        images.append(scene.image)
        maps.append(truth)
    return Scenes(np.stack(images), np.stack(maps), names)


def build(cfg: Config, checkpoint: str, names: Sequence[str], options: dict):
    """Build a variant of the segmentor with a pretrainer's weights."""
    options = dict(options)
    mode = options.pop('mode', 'whole')
    side = cfg.model.img_encoder.get('img_size', 224)
    windows = dict(crop_size=(side, side), stride=(side // 2, side // 2))
    model = MODELS.build(
        segmentor_config(
            cfg.model,
            names=['background', *names],
            background=dict(kind='threshold', threshold=0.5),
            test_cfg=dict(mode=mode, **windows),
            chunk=None,
            **options,
        )
    )
    load_checkpoint(model, checkpoint, map_location='cpu', logger='silent')
    return model.eval()


def normalised(model, images: np.ndarray) -> torch.Tensor:
    """Return images as the network takes them."""
    preprocessor = model.data_preprocessor
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return (pixels - preprocessor.mean) / preprocessor.std


@torch.no_grad()
def found(model, scenes: Scenes, kind: str, threshold: float) -> np.ndarray:
    """Segment all scenes: labels (N, S, S)."""
    model.decode_head.background = GroupBackground(kind, threshold=threshold)
    labels = []
    for part in normalised(model, scenes.images).split(20):
        metas = [dict(ori_shape=part.shape[2:])] * len(part)
        labels.append(model.inference(part, metas).argmax(dim=1))
    return torch.cat(labels).numpy()


@torch.no_grad()
def oracle(model, scenes: Scenes) -> np.ndarray:
    """Name the groups of all scenes by the truth: labels (N, S, S)."""
    named = []
    parts = normalised(model, scenes.images).split(20)
    groups = torch.cat([model.extract_feat(part).labels for part in parts])
    for each, truth in zip(groups.numpy(), scenes.truth):
        named.append(name_by_truth(each, truth))
    return np.stack(named)


def overlaps(found: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
    """Count intersection and union of each label, int (2, count)."""
    same = np.bincount(truth[found == truth], minlength=count)
    either = np.bincount(truth.ravel(), minlength=count)
    either = either + np.bincount(found.ravel(), minlength=count) - same
    return np.stack([same, either])


def mean_iou(counts: np.ndarray) -> float:
    """Average the IoU of the names that occur, in percent."""
    same, either = counts[:, 1:]  # without the background
    seen = either > 0
    return 100 * float(np.mean(same[seen] / either[seen]))


def block_figures(labels: np.ndarray, scenes: Scenes) -> np.ndarray:
    """Return the mean IoU without each block of scenes in turn (BLOCKS,)."""
    count = len(scenes.names) + 1
    each = np.stack(
        [
            overlaps(labels[k::BLOCKS], scenes.truth[k::BLOCKS], count)
            for k in range(BLOCKS)
        ]
    )
    whole = each.sum(axis=0)
    return np.array([mean_iou(whole - one) for one in each])


def standard_error(figures: np.ndarray) -> float:
    """Return the jackknife's standard error of block figures."""
    spread = np.mean((figures - figures.mean()) ** 2)
    return float(np.sqrt((len(figures) - 1) * spread))


def best_background(model, scenes: Scenes) -> tuple[str, float]:
    """Return the kind of background and threshold that do best on scenes."""
    count = len(scenes.names) + 1
    tried = []
    for kind, thresholds in BACKGROUNDS.items():
        for threshold in thresholds:
            labels = found(model, scenes, kind, threshold)
            figure = mean_iou(overlaps(labels, scenes.truth, count))
            tried.append((figure, kind, threshold))
    return max(tried)[1:]


def fits(options: dict, cfg: Config, zoom: float) -> bool:
    """Tell whether a variant makes sense for a network and a canvas."""
    outputs = cfg.model.img_encoder.get('num_output_groups', (64, 8))
    if 'regions' in options and sum(n > 0 for n in outputs) < 2:
        return False
    return zoom > 1 or 'mode' not in options


def run(cfg, checkpoint, tune: Scenes, test: Scenes, variants, with_oracle):
    """Print and return the figures of all variants."""
    rows, first = {}, None
    console = Console(stderr=True)
    for name in track(variants, 'variants', console=console):
        model = build(cfg, checkpoint, test.names, VARIANTS[name])
        kind, threshold = best_background(model, tune)
        labels = found(model, test, kind, threshold)
        count = len(test.names) + 1
        figures = block_figures(labels, test)
        first = figures if first is None else first
        row = dict(
            background=f'{kind} {threshold}',
            mIoU=mean_iou(overlaps(labels, test.truth, count)),
            more=figures.mean() - first.mean(),
            error=standard_error(figures - first),
        )
        if with_oracle and 'mode' not in VARIANTS[name]:
            named = oracle(model, test)
            row['oracle'] = mean_iou(overlaps(named, test.truth, count))
        rows[name] = row
    print_table(rows)
    return rows


def print_table(rows: dict[str, dict]) -> None:
    """Print a Markdown table of the variants."""
    print('| variant | background | mIoU | less the first | oracle naming |')
    print('|---|---|---|---|---|')
    for name, row in rows.items():
        best = f'{row["oracle"]:.1f}' if 'oracle' in row else ''
        print(
            f'| {name} | {row["background"]} | {row["mIoU"]:.1f} | '
            f'{row["more"]:+.1f} ± {row["error"]:.1f} | {best} |'
        )


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='of the pretraining')
    parser.add_argument('checkpoint')
    parser.add_argument('--scenes', type=int, default=300)
    parser.add_argument('--oracle', action='store_true')
    parser.add_argument('--variants', nargs='+', choices=VARIANTS)
    parser.add_argument(
        '--crowded',
        nargs='+',
        type=float,
        default=[1, 2],
        metavar='ZOOM',
        help='canvas sides over that of training, each with as many objects '
        'as fit',
    )
    args = parser.parse_args(argv)
    cfg = Config.fromfile(find_config(args.config))
    init_default_scope('mmseg')
    dataset = DATASETS.build(
        dict(cfg.train_dataloader.dataset, pipeline=[], num_images=1)
    )
    few, many = dataset.objects
    for zoom in args.crowded:
        objects = (few, many)
        if zoom > 1:
            objects = (2 * many, round(many * zoom**2))
        tune = draw(dataset, max(args.scenes // 4, 1), 4242, objects, zoom)
        test = draw(dataset, args.scenes, 777, objects, zoom)
        print(
            f'\n{args.scenes} scenes of {test.images.shape[1]} px with '
            f'{objects[0]} to {objects[1]} objects, {len(test.names)} names\n'
        )
        chosen = args.variants or [
            name for name, o in VARIANTS.items() if fits(o, cfg, zoom)
        ]
        run(cfg, args.checkpoint, tune, test, chosen, args.oracle)
    return 0


if __name__ == '__main__':
    sys.exit(main())
