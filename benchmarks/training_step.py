"""Time a training step of ViLD-text against mmdet's own Mask R-CNN.

Both are the shapes world's detector, with the same backbone, heads and number
of classes; ours has the text classifier in place of mmdet's linear one. They
train on the same batches and take turns, each beginning every other time; the
figure is the median of the pairs' ratios.
"""

import argparse
import copy
import sys
import time
from dataclasses import dataclass, field
from itertools import islice
from statistics import median

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, DefaultScope
from rich.console import Console
from rich.progress import track

from mmclip.jobs import find_config

WANTED = 1.1  # times mmdet's, at most
CONFIG = 'vild-text_r18_fpn_shapes'


@dataclass
class Times:
    """Hold seconds a step of each side."""

    mmdet: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Return the median of our seconds over mmdet's, step by step."""
        return median(a / b for a, b in zip(self.ours, self.mmdet))


def stock(model: dict, names: int) -> dict:
    """Return the config of mmdet's Mask R-CNN of the same size."""
    model = copy.deepcopy(model)
    model['type'] = 'mmdet.MaskRCNN'
    head = model['roi_head']
    head['type'] = 'mmdet.StandardRoIHead'
    head['bbox_head'].pop('cls_predictor_cfg')
    head['bbox_head']['num_classes'] = names
    head['mask_head']['num_classes'] = names
    return model


class Side:
    """A detector in training, with its optimizer."""

    def __init__(self, config: dict):
        from mmdet.registry import MODELS

        torch.manual_seed(0)
        self.model = MODELS.build(config)
        self.model.init_weights()
        self.model.train()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4)

    def step(self, batch: dict) -> float:
        """Train on a batch; return the seconds that it took."""
        batch = copy.deepcopy(batch)
        start = time.perf_counter()
        data = self.model.data_preprocessor(batch, True)
        losses = self.model(**data, mode='loss')
        loss, _ = self.model.parse_losses(losses)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return time.perf_counter() - start


def batches(dataset, size: int):
    """Yield batches of a dataset without end."""
    index = 0
    while True:
        items = [dataset[(index + i) % len(dataset)] for i in range(size)]
        yield pseudo_collate(items)
        index += size


def measure(steps: int, batch_size: int = 8) -> Times:
    """Time ``steps`` pairs of steps after two to warm up.

    Args:
        steps: Pairs.
        batch_size: Images a step.
    """
    MMLogger.get_current_instance().setLevel('WARNING')
    cfg = Config.fromfile(find_config(CONFIG))
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = cfg.model
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        names = list(dataset.metainfo['classes'])
        ours, theirs = Side(model), Side(stock(model, len(names)))
        ours.model.set_vocabulary(names)
        return take_turns(theirs, ours, batches(dataset, batch_size), steps)


def take_turns(theirs: Side, ours: Side, data, steps: int) -> Times:
    """Let both sides step on each batch, once both are warm."""
    first = next(data)
    for side in (theirs, ours) * 2:
        side.step(first)
    times, console = Times(), Console(stderr=True)
    pairs = track(islice(data, steps), 'steps', steps, console=console)
    for k, batch in enumerate(pairs):
        sides = [(times.mmdet, theirs), (times.ours, ours)]
        for kept, side in sides if k % 2 else sides[::-1]:
            kept.append(side.step(batch))
    return times


def report(times: Times, batch_size: int) -> None:
    """Print both sides and the ratio."""
    print(
        f'{len(times.ours)} steps of {batch_size} images, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}, CPU'
    )
    for name, seconds in (('mmdet', times.mmdet), ('mmclip', times.ours)):
        print(f'{name:<8}{median(seconds):8.3f} s a step (median)')
    print(f'mmclip / mmdet, median of pairs {times.ratio:.3f} (<= {WANTED})')


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--steps', type=int, default=40)
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--threads', type=int, help="torch's; default: all")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    report(measure(args.steps, args.batch_size), args.batch_size)
    return 0


if __name__ == '__main__':
    sys.exit(main())
