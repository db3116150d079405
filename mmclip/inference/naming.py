"""Ask a trained model for the names of regions that are known.

What ``tools/vild/classify_boxes.py`` and ``tools/lseg/name_masks.py`` share.
"""

import argparse
import json
import sys
from collections.abc import Callable

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint

from mmclip.evaluation.naming import measure, table
from mmclip.inference.named import find_checkpoint
from mmclip.inference.trained import without_pretrained
from mmclip.jobs import find_config


def parse_args(
    about: str, argv: list[str] | None = None
) -> argparse.Namespace:
    """Read the command line of a tool that is ``about`` something."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument('config')
    parser.add_argument('checkpoint', help='a file, or a work directory')
    parser.add_argument('--shuffles', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0, help='of the shuffles')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(argv)


def load(args: argparse.Namespace):
    """Build the model and the test set of the config.

    Raises:
        ValueError: The dataset does not tell base from novel names, or the
            checkpoint is of another model.
    """
    from mmengine.registry import DATASETS, MODELS

    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    if not dataset.metainfo.get('novel_classes'):
        raise ValueError(
            f'{type(dataset).__name__} has no novel_classes: take a config '
            "whose test set has both groups, such as 'mmclip.OVCocoDataset' "
            "or 'mmclip.OVSegDataset'"
        )
    model = MODELS.build(without_pretrained(cfg.model))
    path = find_checkpoint(args.checkpoint)
    try:
        load_checkpoint(model, path, 'cpu', strict=True)
    except RuntimeError as error:
        first = ' '.join(str(error).split())[:300]
        raise ValueError(
            f'{path} does not fit the model of {args.config}: {first}'
        ) from error
    model.set_vocabulary(list(dataset.metainfo['classes']))
    return model.to(args.device).eval(), dataset


def run(
    about: str,
    dataset_logits: Callable,
    regions: str,
    argv: list[str] | None = None,
) -> int:
    """Measure and print.

    Args:
        about: What the tool does, in a sentence.
        dataset_logits: Takes the model, its test set and the names to ask
            for; returns logits (N, names) and labels (N,) of N regions.
        regions: What they are called in the table.
        argv: Arguments, those of the process by default.

    Returns:
        The exit code.
    """
    args = parse_args(about, argv)
    try:
        model, dataset = load(args)
        known = set(dataset.metainfo['classes'])
        base, novel = (
            [name for name in dataset.metainfo[key] if name in known]
            for key in ('base_classes', 'novel_classes')
        )
        logits, labels = dataset_logits(model, dataset, base + novel)
        places = list(range(len(base) + len(novel)))
        rows = measure(
            logits,
            labels,
            places[: len(base)],
            places[len(base) :],
            args.shuffles,
            args.seed,
        )
    except (ValueError, OSError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(json.dumps(rows, indent=1) if args.json else table(rows, regions))
    return 0
