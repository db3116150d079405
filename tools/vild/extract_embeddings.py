"""Embed proposals with a CLIP, for distillation: ``extract_embeddings.py -h``.

Reads what dump_proposals.py wrote for the same split and writes the cache
that ``mmclip.LoadProposalEmbeddings`` reads. Interrupted, it goes on with the
same command; with torchrun each rank does its own shards.
"""

import argparse
import sys

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from mmclip.clip.ranks import rank_device
from mmclip.jobs import find_config
from mmclip.vild.crop_encoder import CropEncoder
from mmclip.vild.crops import MODES
from mmclip.vild.dataset_images import build_split
from mmclip.vild.proposals import Proposals
from mmclip.vild.teacher_cache import extract_embeddings


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='whose dataset the proposals are of')
    parser.add_argument('proposals', help='folder of dump_proposals.py')
    parser.add_argument('out', help='folder for the cache')
    parser.add_argument('--split', default='train', help='train, val or test')
    parser.add_argument(
        '--clip', required=True, help='such as ViT-B-32, or shapes-clip'
    )
    parser.add_argument('--pretrained', help='a tag, as openai, or a file')
    parser.add_argument(
        '--random-weights',
        type=int,
        metavar='SEED',
        help='draw the weights, to try the machinery; the cache says so',
    )
    parser.add_argument('--scales', type=float, nargs='+', default=(1, 1.5))
    parser.add_argument('--mode', choices=MODES, help="default: the CLIP's")
    parser.add_argument('--max-num', type=int, default=300)
    parser.add_argument('--shard-size', type=int, default=1000)
    parser.add_argument(
        '--batch-size', type=int, default=256, help='crops of a forward pass'
    )
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--device', help='default: this rank of CUDA, or cpu')
    parser.add_argument('--half', action='store_true', help='encode in fp16')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(argv)


def extract(args: argparse.Namespace) -> None:
    """Do this rank's shards."""
    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    encoder = CropEncoder(
        args.clip,
        args.pretrained,
        scales=tuple(args.scales),
        mode=args.mode,
        batch_size=args.batch_size,
        seed=args.random_weights,
    )
    extract_embeddings(
        build_split(cfg, args.split),
        Proposals(args.proposals),
        encoder.to(
            args.device or rank_device(),
            torch.half if args.half else torch.float,
        ),
        args.out,
        max_num=args.max_num,
        shard_size=args.shard_size,
        workers=args.workers,
    )


def main(argv: list[str] | None = None) -> int:
    """Extract; 1 for an error that the user can mend."""
    try:
        extract(parse_args(argv))
    except KeyboardInterrupt:
        print('interrupted: the same command goes on', file=sys.stderr)
        return 130
    except (ValueError, OSError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
