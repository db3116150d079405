"""Measure whether a GLIP student beats its teacher on phrases without boxes.

GLIP, sec. 3.3, in the shapes world: a teacher is trained on captions whose
phrases have boxes, base concepts alone. It draws boxes for captions that also
name novel concepts. A student starts from the teacher and learns on from the
teacher's data and from those; the control starts there too, and learns as long
from the teacher's data alone. All three are asked for the phrases of the same
unseen scenes. Finished steps are kept, interrupted ones continue.

Symbols: S seeds; figures are R@1, the share of phrases whose best box has IoU
.5 with the object. P and R are precision and recall of pseudo boxes.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner, find_latest_checkpoint
from PIL import Image

from mmclip.clip.ranks import Rank
from mmclip.data.shapes import SPLITS, concepts, draw_scene
from mmclip.data.shapes_export import export
from mmclip.data.shapes_views import phrases
from mmclip.evaluation.phrase_recall import first_right, recall
from mmclip.evaluation.proposal_recall import box_overlaps
from mmclip.glip.grounding import Grounding
from mmclip.glip.noun_phrases import noun_phrases
from mmclip.glip.packed_captions import ARTICLE, UNBOXED
from mmclip.glip.pseudo_labels import label_captions
from mmclip.inference.detector import Detector
from mmclip.inference.teacher import DetectorTeacher
from mmclip.jobs import find_config

CONFIG = 'glip_r18_fpn_shapes'
SIZE = 128
CAPTION_SEED, TEST_SEED = 11, 21  # the boxes' scenes are of seed 0
SEEN = concepts('base', 'novel', vocabulary='shapes-80')
ALL = concepts(vocabulary='shapes-80')
FIELDS = (*SPLITS, 'all')
SIDES = ('teacher', 'control', 'student')


def build_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('--seeds', type=int, default=3, metavar='S')
    add('--iters', type=int, default=1700, help='steps of the teacher')
    add('--more', type=int, default=1000, help='steps of the two others')
    add('--scenes', type=int, default=2000, help='with boxes')
    add('--captions', type=int, default=2000, help='scenes without boxes')
    add('--images', type=int, default=1000, help='test scenes')
    add('--score-thr', type=float, default=0.55, help='of pseudo boxes')
    add(
        '--unboxed',
        choices=UNBOXED,
        default='ignore',
        help='what phrases that the teacher did not find are to the student',
    )
    add('--out', type=Path, default=Path('work_dirs/glip_self_training'))
    return parser


def write_captions(folder: Path, count: int) -> Path:
    """Draw scenes of base and novel concepts, and write what they show."""
    path = folder / 'captions.jsonl'
    if path.is_file():
        return path
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    lines = []
    for k in range(count):
        scene = draw_scene((CAPTION_SEED, k), SIZE, SEEN)
        Image.fromarray(scene.image).save(folder / f'images/{k:06d}.png')
        caption = phrases(scene)[0]
        lines.append(dict(image=f'{k:06d}.png', caption=caption))
    aside = path.with_suffix('.part')
    aside.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    os.replace(aside, path)
    return path


def bare_phrases(caption: str) -> list[tuple[int, int]]:
    """Return the phrases without article, as the boxed captions have them."""
    return [
        (start + len(found[0]) if found else start, stop)
        for start, stop in noun_phrases(caption)
        for found in [ARTICLE.match(caption[start:stop])]
    ]


def config_of(
    work: Path, boxes: Path, seed: int, iters: int, start: str | None = None
) -> Config:
    """Return the config of a training on the base boxes.

    Args:
        work: Its folder.
        boxes: The data.
        seed: Of the training.
        iters: Its steps.
        start: Checkpoint whose weights it begins with.
    """
    cfg = Config.fromfile(find_config(CONFIG))
    text = cfg.pretty_text.replace('data/shapes_odvg', str(boxes))
    cfg = Config.fromstring(text, '.py')
    begun = find_latest_checkpoint(str(work)) is not None
    cfg.merge_from_dict(
        {
            'randomness': dict(seed=seed),
            'train_cfg.max_iters': iters,
            'val_cfg': None,
            'val_dataloader': None,
            'val_evaluator': None,
            'param_scheduler.1.T_max': iters,
            'default_hooks.checkpoint.interval': 100,
            'work_dir': str(work),
            'resume': begun,
            'load_from': None if begun else start,
            'custom_hooks': [dict(type='mmclip.RNGStateHook')],
            # a short training: it leaves the start sooner, and a caption
            # without others takes two thirds of the time
            'optim_wrapper.optimizer.lr': 2.5e-3,
            'train_dataloader.dataset.pipeline.4.captions': None,
        }
    )
    return cfg


def with_labels(cfg: Config, labels: Path, images: Path, unboxed: str):
    """Let a training learn from pseudo labels too."""
    gold = cfg.train_dataloader.dataset
    pseudo = Config(gold.to_dict())
    pseudo.merge_from_dict(
        {
            'type': 'mmclip.GroundingDataset',
            'data_root': '',
            'ann_file': str(labels),
            'data_prefix': dict(img=str(images)),
            'pipeline.4.unboxed': unboxed,
        }
    )
    cfg.train_dataloader.dataset = dict(
        type='mmengine.ConcatDataset',
        datasets=[gold, pseudo._cfg_dict],
        ignore_keys=['dataset_mode'],
    )
    return cfg


def train(cfg: Config) -> Detector:
    """Train, or take what was trained before."""
    work = Path(cfg.work_dir)
    done = work / 'done'
    if not done.is_file():
        Runner.from_cfg(cfg).train()
        done.touch()
    return Detector(str(work), device='cpu')


def ask(scene) -> tuple[Grounding, np.ndarray, list[int], list[str]]:
    """Return a scene's caption, true boxes, their phrases and splits.

    Objects of one name are one phrase.
    """
    caption, spans, boxes = phrases(scene)
    number: dict[str, int] = {}
    owners = [number.setdefault(caption[a:b], len(number)) for a, b in spans]
    splits = dict(zip(owners, (o.concept.split for o in scene.objects)))
    grounding = Grounding(
        caption, [[list(span)] for span in spans], owners, list(number)
    )
    return grounding, boxes, owners, [splits[k] for k in range(len(number))]


def evaluate(detector: Detector, images: int) -> dict[str, float]:
    """Return R@1 of the phrases of unseen scenes, by split."""
    teacher = DetectorTeacher(detector)
    ranks = {split: [] for split in SPLITS}
    for k in range(images):
        scene = draw_scene((TEST_SEED, k), SIZE, ALL)
        grounding, boxes, owners, splits = ask(scene)
        (found,) = teacher([scene.image], [grounding])
        hits = first_right(
            found['boxes'],
            found['scores'],
            found['labels'],
            boxes.astype(float),
            owners,
            0.5,
            False,
        )
        for phrase, rank in hits.items():
            ranks[splits[phrase]].append(rank)
    figures = {split: recall(own, 1) for split, own in ranks.items()}
    return figures | dict(all=recall(sum(ranks.values(), []), 1))


def quality(labels: Path, images: int) -> dict[str, dict[str, float]]:
    """Return P and R of pseudo boxes, by split, from the first captions.

    The drawn truth is looked at for this alone.
    """
    lines = map(json.loads, labels.read_text().splitlines())
    regions = {
        line['filename']: {
            one['phrase']: one['bbox'] for one in line['grounding']['regions']
        }
        for line in lines
    }
    tally = {split: np.zeros(4) for split in ('base', 'novel')}
    for k in range(images):
        scene = draw_scene((CAPTION_SEED, k), SIZE, SEEN)
        asked, boxes, owners, splits = ask(scene)
        drawn = regions.get(f'{k:06d}.png', {})
        for label, name in enumerate(asked.names):
            own = boxes[np.array(owners) == label]
            found = np.array(drawn.get(name, [])).reshape(-1, 4)
            fit = box_overlaps(found, own) >= 0.5
            counts = len(found), fit.any(1).sum(), len(own), fit.any(0).sum()
            tally[splits[label]] += counts
    return {
        split: dict(
            P=float(right / max(1, found)), R=float(hit / max(1, true))
        )
        for split, (found, right, true, hit) in tally.items()
    }


def run_seed(args: argparse.Namespace, seed: int) -> dict:
    """Train the three of a seed; return their figures."""
    work, boxes = args.out / f'seed{seed}', args.out / 'boxes'
    kept = work / 'figures.json'
    if kept.is_file():
        return json.loads(kept.read_text())
    export('odvg', boxes, args.scenes, seed=0, size=SIZE)
    captions = write_captions(args.out / 'captions', args.captions)
    images = captions.with_name('images')
    teacher = train(config_of(work / 'teacher', boxes, seed, args.iters))
    figures = dict(teacher=evaluate(teacher, args.images))
    print(f'seed {seed}, teacher: {figures["teacher"]}', flush=True)
    labels = work / 'labels'
    counts = label_captions(
        DetectorTeacher(teacher),
        captions,
        images,
        labels,
        splitter=bare_phrases,
        score_thr=args.score_thr,
        batch_size=8,
        rank=Rank(),
    )
    labels = labels / 'labels.jsonl'
    counts |= quality(labels, min(400, args.captions))
    print(f'seed {seed}, labels: {counts}', flush=True)
    for side in ('student', 'control'):
        cfg = config_of(
            work / side, boxes, seed, args.more, str(teacher.checkpoint)
        )
        if side == 'student':
            cfg = with_labels(cfg, labels, images, args.unboxed)
        figures[side] = evaluate(train(cfg), args.images)
        print(f'seed {seed}, {side}: {figures[side]}', flush=True)
    figures |= dict(labels=counts)
    aside = kept.with_suffix('.part')
    aside.write_text(json.dumps(figures))
    os.replace(aside, kept)
    return figures


def table(runs: list[dict]) -> str:
    """Write all sides, and the mean differences of pairs, in percent."""
    lines = ['| R@1 of phrases | ' + ' | '.join(FIELDS) + ' |']
    lines.append('|---' * (len(FIELDS) + 1) + '|')
    for side in SIDES:
        for seed, run in enumerate(runs):
            row = [f'{100 * run[side][key]:.1f}' for key in FIELDS]
            lines.append(f'| {side}, seed {seed} | ' + ' | '.join(row) + ' |')
    for other in SIDES[:2]:
        row = [gain(runs, other, key) for key in FIELDS]
        lines.append(f'| student - {other} | ' + ' | '.join(row) + ' |')
    return '\n'.join(lines)


def gain(runs: list[dict], other: str, key: str) -> str:
    """Write by how much students are ahead: mean, least and most."""
    gains = [100 * (run['student'][key] - run[other][key]) for run in runs]
    return f'{np.mean(gains):+.1f} ({min(gains):+.1f} to {max(gains):+.1f})'


def main(argv: list[str] | None = None) -> int:
    """Run all seeds and print the table."""
    args = build_parser().parse_args(argv)
    torch.set_num_threads(1)
    args.out = args.out.resolve()
    runs = []
    for seed in range(args.seeds):
        runs.append(run_seed(args, seed))
        print(f'seed {seed}: {json.dumps(runs[-1])}', flush=True)
    print(table(runs))
    (args.out / 'report.md').write_text(table(runs) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
