"""Masks from captions alone: GroupViT beside a patch-wise CLIP.

Both are trained from nothing on the same captioned drawings, in the same
order, for the same number of steps (``groupvit_shapes``,
``patch-clip_shapes``), and name the pixels of scenes they have not seen. The
background is where no name is sure enough, by its probability or its cosine;
which of both, and the threshold, are chosen for each model on scenes of its
own, by their masks, which is all that masks are used for. Patch-CLIP's scores
are enlarged bilinearly, as its masks are better so.

S seeds, K names, N scenes of H x W pixels.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MMLogger
from safetensors.torch import save as to_bytes
from torch import Tensor

from mmclip.checkpoint import read_checkpoint
from mmclip.clip.similarity import cosine_logits
from mmclip.data.shapes import draw_scene
from mmclip.data.shapes_views import semantic_map
from mmclip.evaluation import OVIoUMetric
from mmclip.groupvit.segmentation import paint
from mmclip.jobs import find_config
from mmclip.registry import DATASETS, MODELS

KINDS_OF_BACKGROUND = ('threshold', 'cosine')  # as in GroupBackground
KINDS = {'groupvit': 'GroupViT', 'patch-clip': 'patch-CLIP'}
TRAIN, TUNE, TEST = 0, 10_001, 10_003  # seeds of scenes; training adds S
SCENES = {'single': (1, 1), 'multi': (2, 3)}


def parse(argv=None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('--seeds', type=int, default=3, metavar='S')
    add('--iters', type=int, help='training steps; default: the config')
    add('--scenes', type=int, default=300, metavar='N')
    add('--out', type=Path, default=Path('work_dirs/groupvit_shapes'))
    add('--threads', type=int, default=1)
    add('--release', type=Path, help='write GroupViT of seed 0 there, fp16')
    return parser.parse_args(argv)


# ---- training ----


def train(kind: str, seed: int, args) -> tuple[Path, dict]:
    """Train one model, or go on, or take what is there.

    Returns:
        Its checkpoint, and the seconds that the training took.
    """
    folder = args.out / f'{kind}_seed{seed}'
    done = folder / 'done.json'
    iters = args.iters or steps_of(kind)
    checkpoint = folder / f'iter_{iters}.pth'
    if done.exists() and checkpoint.exists():
        return checkpoint, json.loads(done.read_text())
    start, used = time.time(), cpu_of_children()
    subprocess.run(
        [
            sys.executable,
            '-m',
            'mmclip.cli',
            'train',
            f'{kind}_shapes',
            '--resume',
            f'--work-dir={folder}',
            '--cfg-options',
            f'randomness.seed={seed}',
            f'train_dataloader.dataset.seed={TRAIN + seed}',
            f'train_cfg.max_iters={iters}',
            f'param_scheduler.1.end={iters}',
        ],
        check=True,
        env=dict(os.environ, OMP_NUM_THREADS=str(args.threads)),
    )
    spent = dict(
        wall=time.time() - start, cpu=cpu_of_children() - used, iters=iters
    )
    done.write_text(json.dumps(spent))
    return checkpoint, spent


def cpu_of_children() -> float:
    """Return the processor seconds of processes that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def steps_of(kind: str) -> int:
    """Return the training steps that the config says."""
    config = Config.fromfile(find_config(f'{kind}_shapes'))
    return config.train_cfg.max_iters


# ---- testing ----


def load(kind: str, checkpoint: Path):
    """Build the segmentor of a pretrained model, in evaluation mode."""
    config = Config.fromfile(find_config('groupvit_test_shapes'))
    towers = Config.fromfile(find_config(f'{kind}_shapes')).model
    model = dict(config.model, img_encoder=towers['img_encoder'])
    model = MODELS.build(dict(model, background=None))
    state = read_checkpoint(checkpoint)['state_dict']
    model.load_state_dict(
        {k: v for k, v in state.items() if 'data_preprocessor' not in k}
    )
    return model.eval()


def scenes_of(seed: int, count: int, objects: tuple[int, int]):
    """Draw scenes: images uint8 (N, 3, H, W) BGR and truth (N, H, W).

    Label 0 is the background, k + 1 the k-th name.
    """
    data = Config.fromfile(find_config('groupvit_shapes')).train_dataloader
    pairs = DATASETS.build(dict(data.dataset, pipeline=[]))
    names = pairs.metainfo['classes']
    drawn = [
        draw_scene((seed, i), pairs.size, pairs.among, objects, pairs.radius)
        for i in range(count)
    ]
    images = np.stack([scene.image[..., ::-1] for scene in drawn])
    truth = np.stack([semantic_map(scene, names) for scene in drawn])
    return (
        torch.from_numpy(images.copy()).permute(0, 3, 1, 2),
        torch.from_numpy(truth).long(),
        names,
    )


@torch.no_grad()
def name_pixels(
    model, images: Tensor, names, kind: str = 'threshold'
) -> tuple[Tensor, Tensor, Tensor]:
    """Name every pixel.

    Args:
        model: A segmentor.
        images: uint8 (N, 3, H, W).
        names: K names.
        kind: What a score is: ``'threshold'``, the head's own, or
            ``'cosine'``.

    Returns:
        The best name's score and its number (N, H, W), and the group of each
        pixel.
    """
    model.set_vocabulary(names)
    scores, labels, groups = [], [], []
    for part in images.split(50):
        inputs = model.data_preprocessor(dict(inputs=list(part)))['inputs']
        features = model.extract_feat(inputs)
        found = scores_of(model.decode_head, features, kind)  # (B, G, K)
        if model.img_encoder.num_groupings:
            found = paint(found, features.labels)  # (B, K, H, W)
        else:
            side = model.img_encoder.native_grid
            found = F.interpolate(
                found.mT.unflatten(2, side), images.shape[2:], mode='bilinear'
            )
        best, label = found.max(dim=1)
        scores.append(best)
        labels.append(label)
        groups.append(features.labels)
    return torch.cat(scores), torch.cat(labels), torch.cat(groups)


def scores_of(head, features, kind: str) -> Tensor:
    """Score names by group, (B, G, K)."""
    if kind == 'threshold':
        return head.group_scores(features)
    return cosine_logits(features.groups, head.vocabulary.embeddings)


def measure(found: Tensor, truth: Tensor, names) -> dict[str, float]:
    """Return mIoU over names, and the background's IoU, in percent."""
    metric = OVIoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = dict(
        classes=('background', *names), names_classes=tuple(names)
    )
    samples = [
        dict(pred_sem_seg=dict(data=f[None]), gt_sem_seg=dict(data=t[None]))
        for f, t in zip(found, truth)
    ]
    metric.process({}, samples)
    figures = metric.compute_metrics(metric.results)
    return dict(names=float(figures['names_mIoU']), all=float(figures['mIoU']))


def pick_background(model, count: int) -> tuple[str, float]:
    """Return the kind of background and threshold that do best."""
    images, truth, names = scenes_of(TUNE, count, (1, 3))
    tried = []
    for kind in KINDS_OF_BACKGROUND:
        scores, labels, _ = name_pixels(model, images, names, kind)
        value, limit = pick_threshold(scores, labels, truth, names)
        tried.append((value, kind, limit))
    return max(tried)[1:]


def pick_threshold(
    scores: Tensor, labels: Tensor, truth, names
) -> tuple[float, float]:
    """Return the best mIoU over names, and the threshold that has it."""
    limits = torch.quantile(
        scores.flatten()[:: max(1, scores.numel() // 100_000)],
        torch.linspace(0, 0.95, 39),
    )
    values = [
        fast_iou(torch.where(scores >= x, labels + 1, 0), truth, len(names))
        for x in limits
    ]
    best = int(np.argmax(values))
    return values[best], float(limits[best])


def fast_iou(found: Tensor, truth: Tensor, count: int) -> float:
    """Return the mIoU over names alone, as a fraction."""
    both = torch.bincount(truth[found == truth], minlength=count + 1)
    either = (
        torch.bincount(truth.flatten(), minlength=count + 1)
        + torch.bincount(found.flatten(), minlength=count + 1)
        - both
    )
    return float((both[1:] / either[1:].clamp(min=1)).mean())


def best_group_iou(groups: Tensor, truth: Tensor) -> float:
    """Return, over objects' names, the IoU of the group that fits best."""
    found = []
    for group, label in zip(groups, truth):
        for name in label.unique():
            if name:
                mask = label == name
                found.append(
                    max(
                        float(
                            ((group == g) & mask).sum()
                            / ((group == g) | mask).sum()
                        )
                        for g in group[mask].unique()
                    )
                )
    return 100 * mean(found)


def judge(model, count: int) -> dict:
    """Measure a model on scenes of one object and of several."""
    background, limit = pick_background(model, count)
    figures = dict(background=background, threshold=limit)
    for kind, objects in SCENES.items():
        images, truth, names = scenes_of(TEST, count, objects)
        scores, labels, groups = name_pixels(model, images, names, background)
        found = torch.where(scores >= limit, labels + 1, 0)
        for key, value in measure(found, truth, names).items():
            figures[f'{kind} {key}'] = value
        inside = truth > 0
        figures[f'{kind} pixels'] = 100 * float(
            ((labels + 1) == truth)[inside].float().mean()
        )
        if model.img_encoder.num_groupings:
            figures[f'{kind} best group'] = best_group_iou(groups, truth)
    return figures


def release(checkpoint: Path, path: Path) -> None:
    """Write a checkpoint's weights as fp16 safetensors."""
    state = read_checkpoint(checkpoint)['state_dict']
    halves = {
        key: (value.half() if value.is_floating_point() else value)
        for key, value in state.items()
        if 'data_preprocessor' not in key
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    temporary.write_bytes(to_bytes(halves))
    os.replace(temporary, path)


# ---- the report ----


def said(values) -> str:
    """Write a mean and its standard deviation."""
    spread = f' ± {stdev(values):.1f}' if len(values) > 1 else ''
    return f'{mean(values):.1f}{spread}'


def table(results: dict) -> str:
    """Write the figures, S seeds a cell, and their paired differences."""
    keys = [
        ('single names', 'one object: mIoU over names'),
        ('multi names', 'two or three: mIoU over names'),
        ('multi all', '... background included'),
        ('single pixels', 'one object: its pixels named right'),
        ('multi pixels', 'two or three: their pixels named right'),
        ('single best group', 'one object: IoU of the best group'),
        ('multi best group', 'two or three: IoU of the best group'),
    ]
    ours, theirs = (results[kind] for kind in KINDS)
    lines = [
        f'| {len(ours)} seeds, % | GroupViT | patch-CLIP | difference |',
        '|---|---|---|---|',
    ]
    for key, text in keys:
        a = [r['figures'][key] for r in ours]
        if key not in theirs[0]['figures']:
            lines.append(f'| {text} | {said(a)} | | |')
            continue
        b = [r['figures'][key] for r in theirs]
        paired = said([x - y for x, y in zip(a, b)])
        lines.append(f'| {text} | {said(a)} | {said(b)} | {paired} |')
    minutes = [
        f'{KINDS[k]} {mean(r["spent"]["cpu"] for r in results[k]) / 60:.1f}'
        for k in KINDS
    ]
    lines.append(f'\nMinutes of one core for a training: {", ".join(minutes)}')
    return '\n'.join(lines)


def picture(models: dict, path: Path, count: int = 8) -> None:
    """Draw scenes, GroupViT's groups, the truth and both models' masks."""
    from mmclip.groupvit.pictures import group_colours
    from mmclip.visualization import save_picture

    images, truth, names = scenes_of(TEST, 2 * count, (1, 3))
    colours = group_colours(len(names) + 1)
    colours[0] = 0
    columns = [images.permute(0, 2, 3, 1).numpy()[..., ::-1]]  # RGB
    masks = [colours[truth.numpy()]]
    for kind, (model, figures) in models.items():
        scores, labels, groups = name_pixels(
            model, images, names, figures['background']
        )
        if kind == 'groupvit':
            columns.append(group_colours(9)[groups.numpy()])
        limit = figures['threshold']
        found = torch.where(scores >= limit, labels + 1, 0)
        masks.append(colours[found.numpy()])
    rows = np.concatenate([*columns, *masks], axis=2)  # (N, H, 5 W, 3)
    rows = rows.repeat(2, axis=1).repeat(2, axis=2)
    halves = [np.concatenate(list(rows[k::2])) for k in (0, 1)]
    gap = np.full((len(halves[0]), 12, 3), 255, np.uint8)
    joined = np.concatenate([halves[0], gap, halves[1]], axis=1)
    save_picture(path, joined)


def main(argv=None) -> None:
    """Train what is not there, measure, print."""
    args = parse(argv)
    MMLogger.get_instance('figures', log_level='ERROR')
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    results = {kind: [] for kind in KINDS}
    shown = {}
    for seed in range(args.seeds):
        for kind in KINDS:
            checkpoint, spent = train(kind, seed, args)
            if args.release and (kind, seed) == ('groupvit', 0):
                release(checkpoint, args.release)
            model = load(kind, checkpoint)
            figures = judge(model, args.scenes)
            results[kind].append(dict(spent=spent, figures=figures))
            shown.setdefault(kind, (model, figures))
            print(kind, seed, json.dumps(figures), flush=True)
    (args.out / 'results.json').write_text(json.dumps(results, indent=1))
    picture(shown, args.out / 'picture.png')
    print(table(results))


if __name__ == '__main__':
    main()
