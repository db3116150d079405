"""Choose zoom and weight of a CLIP's dense scores on scenes of their own.

    python benchmarks/lseg_dense_search.py lseg_shapes-clip-dpt-dense_shapes \\
      work_dirs/*/iter_600.pth --out work_dirs/dense_search.json

Segments scenes of ``--seed``, which is neither that of training (0) nor that
of testing (1), once for each zoom and adds the dense scores with each weight.
Prints the harmonic mean of base and novel mIoU, in percent, averaged over the
checkpoints, and the best setting. Checkpoints that are in ``--out`` already
are not run again.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import mean

import numpy as np
import torch

# started as a script, Python looks beside this file, not above it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.shapes_runs import save_json  # noqa: E402

ZOOMS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
SPENT = (0, 1)  # seeds of training and of testing


def build_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('config', help='with model.dense')
    add('checkpoint', nargs='+')
    add('--seed', type=int, default=2, help='of the scenes')
    add('--images', type=int, default=100)
    add('--zoom', type=float, nargs='+', default=ZOOMS)
    add('--weight', type=float, nargs='+', default=WEIGHTS)
    add('--out', type=Path, default=Path('work_dirs/dense_search.json'))
    return parser


def load(config: str, seed: int, images: int):
    """Build the config's model and its validation scenes."""
    from mmengine.config import Config
    from mmengine.registry import DATASETS, MODELS, init_default_scope

    import mmclip  # noqa: F401
    from mmclip.jobs import find_config

    cfg = Config.fromfile(find_config(config))
    if not cfg.model.get('dense'):
        raise ValueError(f'{config} has no model.dense to search settings of')
    init_default_scope('mmseg')
    scenes = dict(cfg.val_dataloader.dataset, seed=seed, num_images=images)
    return MODELS.build(cfg.model).eval(), DATASETS.build(scenes)


@torch.no_grad()
def search(
    model,
    dataset,
    zooms: Sequence[float],
    weights: Sequence[float],
    show=lambda steps: steps,
) -> dict[str, dict[str, float]]:
    """Return the figures of each setting, ``'zoom weight'`` -> percent.

    Args:
        model: A segmentor with ``dense``, in eval mode; its zoom and weight
            are changed.
        dataset: Of mmseg, with base and novel classes.
        zooms: Tried with each weight.
        weights: Tried with each zoom.
        show: Wraps the numbers of the images, to show progress.
    """
    from mmseg.evaluation import IoUMetric

    from mmclip.evaluation.ov_iou import group_iou, groups_of

    classes = list(dataset.metainfo['classes'])
    model.set_vocabulary(classes)
    counts = {key: 0 for key in product(zooms, weights)}
    for k in show(range(len(dataset))):
        item = dataset[k]
        sample = item['data_samples']
        truth = sample.gt_sem_seg.data[0]
        data = dict(inputs=[item['inputs']], data_samples=[sample])
        inputs = model.data_preprocessor(data)['inputs']
        for key, label in labels(model, inputs, sample, zooms, weights):
            areas = IoUMetric.intersect_and_union(
                label, truth, len(classes), 255
            )
            counts[key] = counts[key] + torch.stack(areas[:2])
    groups = groups_of(dataset.metainfo)
    return {
        f'{zoom:g} {weight:g}': {
            name: 100 * value
            for name, value in group_iou(
                *np.asarray(counts[zoom, weight], float), classes, groups
            ).items()
        }
        for zoom, weight in counts
    }


def labels(model, inputs, sample, zooms, weights):
    """Yield ((zoom, weight), labels (H, W)) of one image."""
    head, dense = model.decode_head, model.dense
    padded = model.pad(inputs)
    own = head(model.extract_feat(padded))
    for zoom in zooms:
        dense.zoom = zoom
        seen = dense.embed(model.as_rgb(padded), own.shape[2:])
        for weight in weights:
            dense.weight = weight
            (scores,) = dense.fuse(
                lambda: iter([own]),
                seen,
                head.vocabulary.embeddings,
                head.background_row,
            )
            scores = model.upsample(scores, inputs)[0]
            yield (
                (zoom, weight),
                model.to_original(scores, sample.metainfo).argmax(dim=0),
            )


def averaged(found: Sequence[dict], name: str = 'hIoU') -> dict[str, float]:
    """Average a figure of each setting over the checkpoints."""
    return {key: mean(one[key][name] for one in found) for key in found[0]}


def table(found: Sequence[dict], zooms, weights) -> str:
    """Write the harmonic means, a zoom a row, and the best setting."""
    means = averaged(found)
    lines = ['zoom ' + ''.join(f'{f"w={w:g}":>8}' for w in weights)]
    for z in zooms:
        row = ''.join(f'{means[f"{z:g} {w:g}"]:8.1f}' for w in weights)
        lines.append(f'{z:<5g}{row}')
    best = max(means, key=means.get)
    groups = ', '.join(
        f'{name} {averaged(found, name)[best]:.1f}' for name in found[0][best]
    )
    zoom, weight = best.split()
    return '\n'.join([*lines, f'best: zoom={zoom} weight={weight}: {groups}'])


def main(argv: list[str] | None = None) -> int:
    """Search; print and keep the figures."""
    args = build_parser().parse_args(argv)
    if args.seed in SPENT:
        print(
            f'error: seed {args.seed} draws the scenes of training or '
            'testing: choose another',
            file=sys.stderr,
        )
        return 1
    from mmengine.runner import load_checkpoint
    from rich.progress import track

    settings = dict(
        config=args.config, seed=args.seed, images=args.images,
        zoom=list(args.zoom), weight=list(args.weight),
    )  # fmt: skip
    kept = json.loads(args.out.read_text()) if args.out.exists() else {}
    found = kept['found'] if kept.get('settings') == settings else {}
    try:
        for path in args.checkpoint:
            if path in found:
                continue
            model, dataset = load(args.config, args.seed, args.images)
            load_checkpoint(model, path, 'cpu', strict=True)
            found[path] = search(
                model, dataset, args.zoom, args.weight,
                lambda steps, p=path: track(steps, description=p[-40:]),
            )  # fmt: skip
            save_json(args.out, dict(settings=settings, found=found))
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    wanted = [found[path] for path in args.checkpoint]
    print(table(wanted, args.zoom, args.weight))
    return 0


if __name__ == '__main__':
    sys.exit(main())
