"""Run a detector's proposal network over a split: ``dump_proposals.py -h``.

Writes boxes in pixels of the original images, best first, and prints their
recall. Interrupted, it goes on with the same command; with torchrun each rank
does its own shards.
"""

import argparse
import json
import sys

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from mmclip.clip.folders import file_hash
from mmclip.clip.ranks import Rank, rank_device
from mmclip.inference.detector import find_checkpoint, without_pretrained
from mmclip.jobs import find_config
from mmclip.registry import METRICS
from mmclip.vild.dataset_images import build_split, proposal_pipeline
from mmclip.vild.proposal_recall import measure_recall
from mmclip.vild.proposals import Proposals, dump_proposals


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='of a two-stage detector or mmdet.RPN')
    parser.add_argument('checkpoint', help='a file, or a work directory')
    parser.add_argument('out', help='folder for the proposals')
    parser.add_argument('--split', default='train', help='train, val or test')
    parser.add_argument('--max-num', type=int, default=1000)
    parser.add_argument('--shard-size', type=int, default=1000)
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--device', help='default: this rank of CUDA, or cpu')
    parser.add_argument(
        '--evaluator',
        nargs='+',
        action=DictAction,
        default=dict(type='mmclip.OVProposalRecall'),
        help='metric for the recall; type=none leaves it out',
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(argv)


def load_model(cfg, checkpoint: str):
    """Build the model of a config and fill it from a checkpoint file.

    Raises:
        ValueError: The checkpoint is of another model.
    """
    from mmdet.registry import MODELS
    from mmengine.runner import load_checkpoint

    model = MODELS.build(without_pretrained(cfg.model))
    try:
        load_checkpoint(model, checkpoint, 'cpu', strict=True)
    except RuntimeError as error:
        first = ' '.join(str(error).split())[:300]
        raise ValueError(f'{checkpoint} does not fit: {first}') from error
    return model.eval()


def dump(args: argparse.Namespace, cfg, rank: Rank) -> Proposals:
    """Do this rank's shards."""
    checkpoint = find_checkpoint(args.checkpoint)
    model = load_model(cfg, checkpoint).to(args.device or rank_device())
    return dump_proposals(
        model,
        build_split(cfg, args.split, proposal_pipeline(cfg)),
        args.out,
        source=dict(checkpoint=file_hash(checkpoint), split=args.split),
        max_num=args.max_num,
        shard_size=args.shard_size,
        batch_size=args.batch_size,
        workers=args.workers,
        rank=rank,
    )


def main(argv: list[str] | None = None) -> int:
    """Dump and measure; 1 for an error that the user can mend."""
    args, rank = parse_args(argv), Rank.from_environment()
    try:
        cfg = Config.fromfile(find_config(args.config))
        cfg.merge_from_dict(args.cfg_options or {})
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        measure = args.evaluator['type'] != 'none'
        metric = METRICS.build(args.evaluator) if measure else None
        proposals = dump(args, cfg, rank)
        if metric is None or rank.world > 1:
            return 0  # run once more without torchrun for the recall
        dataset = build_split(cfg, args.split)
        print(json.dumps(measure_recall(proposals, dataset, metric)))
    except KeyboardInterrupt:
        print('interrupted: the same command goes on', file=sys.stderr)
        return 130
    except (ValueError, OSError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
