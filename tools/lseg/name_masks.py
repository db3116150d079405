"""Ask a segmentor for the names of true masks: ``name_masks.py --help``.

Pools the pixel embeddings in each true mask of the test set (a mask is all of
one class in an image) and prints how often base and novel masks get their own
name, each among its own names and among all, beside chance and beside the
same embeddings with the novel names shuffled. The background never competes.
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
from mmclip.lseg.mask_naming import dataset_logits


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
    from mmengine.registry import DATASETS, MODELS

    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    if not dataset.metainfo.get('novel_classes'):
        raise ValueError(
            f'{type(dataset).__name__} has no novel_classes: take a config '
            "whose test set is a 'mmclip.OVSegDataset' with both groups"
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
        groups = [
            list(dataset.metainfo[key])
            for key in ('base_classes', 'novel_classes')
        ]
        logits, labels = dataset_logits(model, dataset, sum(groups, []))
        base = list(range(len(groups[0])))
        novel = [len(base) + k for k in range(len(groups[1]))]
        rows = measure(logits, labels, base, novel, args.shuffles, args.seed)
    except (ValueError, OSError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(json.dumps(rows, indent=1) if args.json else table(rows, 'masks'))
    return 0


if __name__ == '__main__':
    sys.exit(main())
