"""``mmclip segment`` and ``mmclip embed-pixels``: many images into a folder.

One image is in memory at a time (or a batch), each result is written whole
before the next, and what is there already need not be done again.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from mmclip.files import write_whole
from mmclip.inference.image import list_images, load_image, stems
from mmclip.inference.options import add_image_options, add_text_options
from mmclip.inference.source import ImageSource, LeftOut, tracked
from mmclip.inference.text import read_text

RECORD = 'segmentation.json'


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add what both commands read."""
    add_image_options(parser)
    parser.add_argument(
        '--precision',
        default='float32',
        choices=['float32', 'bfloat16', 'float16'],
        help='what the network computes in',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='leave out images whose results are in DIR already',
    )


def add_segment_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip segment``."""
    add_common_options(parser)
    add_text_options(parser)
    parser.add_argument(
        '--no-pictures',
        action='store_true',
        help='write label maps alone',
    )
    parser.add_argument(
        '--out',
        default='outputs',
        metavar='DIR',
        help=f'where labels/*.png, pictures/*.png and {RECORD} go',
    )


def add_embed_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip embed-pixels``."""
    add_common_options(parser)
    parser.add_argument(
        '--stride',
        type=int,
        default=2,
        choices=[2, 4],
        help='image pixels a position',
    )
    parser.add_argument(
        '--components',
        type=int,
        metavar='P',
        help="write each image's P principal components instead",
    )
    parser.add_argument(
        '--out',
        default='outputs',
        metavar='DIR',
        help='where an .npz an image goes',
    )


def segment(args) -> int:
    """Segment every image; write label maps, pictures and one JSON file."""
    files = list_images(args.images, args.recursive)
    text, out = read_text(args.text), Path(args.out)
    record = read_record(out / RECORD) if args.resume else {}
    done = record.get('images', {})
    known = {file: Path(each['labels']).stem for file, each in done.items()}
    names = dict(zip(map(str, files), stems(files, known)))
    wanted = [file for file in files if str(file) not in done]
    if not wanted:
        print(f'nothing to do: {out / RECORD} holds all {len(files)} images')
        return 0
    broken = LeftOut()
    source = ImageSource(wanted, on_broken=broken)
    found = segmentor_of(args).stream(
        source, text, batch_size=args.batch_size, progress=not args.quiet
    )
    try:
        for each in found:
            file = each['image']
            check_names(record, each['names'], out)
            record['names'] = each['names']
            write_result(out, names[file], each, not args.no_pictures)
            done[file] = describe(each, names[file])
            print(f'{file}: {say(done[file])}')
    finally:
        if done:
            write_json(out / RECORD, {**record, 'images': done})
    print(f'written: {out}')
    return broken.exit_code()


def segmentor_of(args):
    """Build the segmentor that the options name."""
    from mmclip.inference.segmentor import Segmentor

    return Segmentor(
        args.model,
        config=args.config,
        device=args.device,
        precision=args.precision,
    )


def embed(args) -> int:
    """Write the pixel embeddings of every image."""
    from mmclip.lseg.pixel_embeddings import save_embeddings

    files, out = list_images(args.images, args.recursive), Path(args.out)
    targets = {
        str(file): out / f'{stem}.npz'
        for file, stem in zip(files, stems(files))
    }
    wanted = [
        file
        for file, target in targets.items()
        if not (args.resume and is_written(target, file))
    ]
    if not wanted:
        print(f'nothing to do: {out} holds all {len(files)} images')
        return 0
    broken = LeftOut()
    source = ImageSource(wanted, on_broken=broken)
    segmentor = segmentor_of(args)
    for file, image in tracked(source, len(wanted), not args.quiet):
        embeddings = segmentor.embed(image, stride=args.stride)
        save_embeddings(
            targets[file],
            embeddings,
            args.components,
            stride=args.stride,
            image=file,
        )
        size = ' x '.join(map(str, embeddings.shape))
        print(f'{file}: {size} -> {targets[file]}')
    return broken.exit_code()


def is_written(target: Path, file: str) -> bool:
    """Tell whether an image's embeddings are there.

    Raises:
        ValueError: The file there belongs to another image.
    """
    if not target.exists():
        return False
    with np.load(target, allow_pickle=False) as stored:
        of = str(stored['image']) if 'image' in stored else 'another image'
    if of != file:
        raise ValueError(
            f'{target} holds the embeddings of {of}, not of {file}: name '
            'another folder (--out), or leave --resume out'
        )
    return True


def write_result(out: Path, stem: str, found: dict, picture: bool) -> None:
    """Write a label map in its colours, and the picture that shows it."""
    from mmclip.visualization import (
        draw_segmentation,
        save_labels,
        save_picture,
    )

    if picture:
        drawn = draw_segmentation(
            load_image(found['image']),
            found['labels'],
            found['names'],
            512,
            found['names'],  # so that a name looks alike in all pictures
        )
        save_picture(out / 'pictures' / f'{stem}.png', drawn)
    save_labels(
        out / 'labels' / f'{stem}.png', found['labels'], found['names']
    )


def describe(found: dict, stem: str) -> dict:
    """Return what the record says of one image."""
    counts = np.bincount(found['labels'].ravel())
    shares = {
        found['names'][k]: round(float(counts[k] / counts.sum()), 6)
        for k in np.argsort(-counts, kind='stable')
        if counts[k]
    }
    return dict(labels=f'labels/{stem}.png', shares=shares)


def say(described: dict, most: int = 5) -> str:
    """Say in one line what an image shows."""
    shares = list(described['shares'].items())
    said = [f'{name} {100 * share:.0f} %' for name, share in shares[:most]]
    more = [f'and {len(shares) - most} more'] if len(shares) > most else []
    return ', '.join(said + more)


def check_names(record: dict, names: list[str], out: Path) -> None:
    """Raise a ValueError where a folder holds results of other names."""
    if record.get('names', names) != names:
        raise ValueError(
            f'{out / RECORD} was written for the names {record["names"]}, now '
            f'{names} are asked for: name another folder (--out), or leave '
            '--resume out'
        )


def read_record(path: Path) -> dict:
    """Read what an earlier run left; nothing where there was none.

    Raises:
        ValueError: The file is no such record.
    """
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding='utf8'))
        return {'names': record['names'], 'images': dict(record['images'])}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is no record of `mmclip segment`: remove it, or leave '
            '--resume out'
        ) from error


def write_json(path: Path, content: dict) -> None:
    """Write JSON, whole or not at all."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_whole(path, lambda partial: partial.write_text(text, 'utf8'))
