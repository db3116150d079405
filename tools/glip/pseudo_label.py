"""Let a teacher draw boxes for the phrases of captions: pseudo_label.py -h.

Writes ODVG lines to train a student on (``OUT/labels.jsonl``). Interrupted,
it goes on with the same command; with torchrun each rank does its own share.
"""

import argparse
import json
import sys

from mmclip.clip.folders import file_hash
from mmclip.clip.ranks import Rank, rank_device
from mmclip.glip.pseudo_labels import label_captions
from mmclip.inference.detector import Detector
from mmclip.inference.teacher import ASKED, DetectorTeacher


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', help='work directory or checkpoint')
    parser.add_argument(
        'captions',
        help="image and caption a line (.jsonl), or COCO's captions (.json)",
    )
    parser.add_argument('images', help='folder of the images')
    parser.add_argument('out', help='folder for the labels')
    parser.add_argument('--config', help='where the checkpoint has none')
    parser.add_argument(
        '--ask',
        choices=ASKED,
        help="default: 'caption' for a model with a language_model",
    )
    parser.add_argument(
        '--splitter', default='rules', choices=['rules', 'nltk', 'spacy']
    )
    parser.add_argument('--score-thr', type=float, default=0.5)
    parser.add_argument('--nms-thr', type=float, help='default: no NMS')
    parser.add_argument('--min-boxes', type=int, default=1)
    parser.add_argument('--shard-size', type=int, default=1000)
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--device', help='default: this rank of CUDA, or cpu')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Label and print the counts; 1 for an error that the user can mend."""
    args = parse_args(argv)
    try:
        detector = Detector(
            args.model,
            config=args.config,
            device=args.device or rank_device(),
        )
        counts = label_captions(
            DetectorTeacher(detector, args.ask),
            args.captions,
            args.images,
            args.out,
            splitter=args.splitter,
            score_thr=args.score_thr,
            nms_thr=args.nms_thr,
            min_boxes=args.min_boxes,
            source=dict(checkpoint=file_hash(detector.checkpoint)),
            shard_size=args.shard_size,
            batch_size=args.batch_size,
            rank=Rank.from_environment(),
        )
        print(json.dumps(counts) if counts else 'other ranks are still at it')
    except KeyboardInterrupt:
        print('interrupted: the same command goes on', file=sys.stderr)
        return 130
    except (ValueError, OSError, LookupError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
