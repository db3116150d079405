"""Ask a ViLD for the names of true boxes: ``classify_boxes.py --help``.

Prints top-1 of base and novel boxes, each among its own names and among all,
beside chance and beside the same head with the novel embeddings shuffled.
"""

import argparse
import json
import sys

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint

from mmclip.evaluation.naming import measure, table
from mmclip.inference.detector import find_checkpoint, without_pretrained
from mmclip.jobs import find_config
from mmclip.vild.box_classification import dataset_logits


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
    from mmdet.registry import DATASETS, MODELS

    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    if not dataset.metainfo.get('novel_classes'):
        raise ValueError(
            f'{type(dataset).__name__} has no novel_classes: take a config '
            "whose test set is a 'mmclip.OVCocoDataset' with both groups"
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


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    args = parse_args(argv)
    try:
        model, dataset = load(args)
        logits, labels = dataset_logits(model, dataset)
        place = {n: i for i, n in enumerate(dataset.metainfo['classes'])}
        base, novel = (
            [place[n] for n in dataset.metainfo[key] if n in place]
            for key in ('base_classes', 'novel_classes')
        )
        rows = measure(logits, labels, base, novel, args.shuffles, args.seed)
    except (ValueError, OSError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(json.dumps(rows, indent=1) if args.json else table(rows))
    return 0


if __name__ == '__main__':
    sys.exit(main())
