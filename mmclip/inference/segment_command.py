"""``mmclip segment`` and ``mmclip embed-pixels``: many images into a folder.

One image is in memory at a time (or a batch), each result is written whole
before the next, and what is there already need not be done again.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mmclip.files import write_whole
from mmclip.inference.image import list_images, load_image, stems

RECORD = 'segmentation.json'


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add what both commands read."""
    parser.add_argument(
        'images', nargs='+', metavar='IMAGE', help='files or folders'
    )
    parser.add_argument(
        '--model',
        required=True,
        metavar='WORK_DIR|FILE',
        help='work directory of a training, or a checkpoint',
    )
    parser.add_argument(
        '--config', help='its config, where the checkpoint does not hold it'
    )
    parser.add_argument(
        '--device',
        help='such as cuda:0; default: the first accelerator, else cpu',
    )
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
    parser.add_argument(
        '--text',
        help='names, such as "sky . dog . other"; default: the names saved '
        'in the checkpoint',
    )
    parser.add_argument('--batch-size', type=int, default=1)
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


def segment(args) -> None:
    """Segment every image; write label maps, pictures and one JSON file."""
    from mmclip.inference.segmentor import Segmentor

    files = list_images(args.images)
    out = Path(args.out)
    record = read_record(out / RECORD) if args.resume else {}
    done = record.get('images', {})
    known = {file: Path(each['labels']).stem for file, each in done.items()}
    wanted = [
        (file, stem)
        for file, stem in zip(files, stems(files, known))
        if str(file) not in done
    ]
    if not wanted:
        print(f'nothing to do: {out / RECORD} holds all {len(files)} images')
        return
    segmentor = Segmentor(
        args.model,
        config=args.config,
        device=args.device,
        precision=args.precision,
    )
    found = segmentor.stream(
        (file for file, _ in wanted), args.text, batch_size=args.batch_size
    )
    try:
        for (file, stem), each in zip(tracked(wanted), found):
            check_names(record, each['names'], out)
            record['names'] = each['names']
            write_result(out, stem, each, file, not args.no_pictures)
            done[str(file)] = describe(each, stem)
            print(f'{file}: {say(done[str(file)])}')
    finally:
        if done:
            write_json(out / RECORD, {**record, 'images': done})
    print(f'written: {out}')


def embed(args) -> None:
    """Write the pixel embeddings of every image."""
    from mmclip.inference.segmentor import Segmentor
    from mmclip.lseg.pixel_embeddings import save_embeddings

    files, out = list_images(args.images), Path(args.out)
    wanted = [
        (file, out / f'{stem}.npz')
        for file, stem in zip(files, stems(files))
        if not (args.resume and is_written(out / f'{stem}.npz', file))
    ]
    if not wanted:
        print(f'nothing to do: {out} holds all {len(files)} images')
        return
    segmentor = Segmentor(
        args.model,
        config=args.config,
        device=args.device,
        precision=args.precision,
    )
    for file, target in tracked(wanted):
        embeddings = segmentor.embed(file, stride=args.stride)
        save_embeddings(
            target,
            embeddings,
            args.components,
            stride=args.stride,
            image=str(file),
        )
        size = ' x '.join(map(str, embeddings.shape))
        print(f'{file}: {size} -> {target}')


def is_written(target: Path, file: Path) -> bool:
    """Tell whether an image's embeddings are there.

    Raises:
        ValueError: The file there belongs to another image.
    """
    if not target.exists():
        return False
    with np.load(target, allow_pickle=False) as stored:
        of = str(stored['image']) if 'image' in stored else 'another image'
    if of != str(file):
        raise ValueError(
            f'{target} holds the embeddings of {of}, not of {file}: name '
            'another folder (--out), or leave --resume out'
        )
    return True


def tracked(wanted: list) -> Iterable:
    """Show a bar while going through more than one image."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(wanted, 'images', console=console, disable=len(wanted) < 2)


def write_result(
    out: Path, stem: str, found: dict, file: Path, picture: bool
) -> None:
    """Write a label map, and the picture that shows it."""
    from mmclip.visualization import draw_segmentation, save_picture

    few = len(found['names']) <= 256
    labels = found['labels'].astype(np.uint8 if few else np.uint16)
    if picture:
        drawn = draw_segmentation(
            load_image(file),
            found['labels'],
            found['names'],
            512,
            found['names'],  # so that a name looks alike in all pictures
        )
        save_picture(out / 'pictures' / f'{stem}.png', drawn)
    save_picture(out / 'labels' / f'{stem}.png', labels)


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
