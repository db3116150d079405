"""``mmclip detect``: its options, and what it writes and prints."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmclip.inference.options import add_image_options, add_text_options

FORMATS = ('pictures', 'json', 'coco', 'labelme', 'odvg')


def add_options(parser: ArgumentParser) -> None:
    """Add the options of ``mmclip detect``."""
    add_image_options(parser)
    add_text_options(parser)
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        metavar='S',
        help='least score that counts as found (default: 0.3)',
    )
    parser.add_argument(
        '--formats',
        nargs='+',
        choices=FORMATS,
        default=['pictures', 'json'],
        metavar='FORMAT',
        help='what is written (default: pictures json); pictures: *.png; '
        'json: detections.json; coco: COCO results and the data set of their '
        "ids; labelme: a JSON file an image; odvg: lines for mmdet's "
        'ODVGDataset',
    )
    parser.add_argument(
        '--out',
        default='outputs',
        metavar='DIR',
        help='where they go (default: outputs)',
    )


def run(args: Namespace) -> int:
    """Detect in every image; return the exit code.

    What was found before an error or an interruption is written, too.
    """
    from mmclip.inference.annotation import WRITERS
    from mmclip.inference.detector import Detector
    from mmclip.inference.image import list_images, stems
    from mmclip.inference.source import ImageSource, LeftOut
    from mmclip.inference.text import read_text

    files = list_images(args.images, args.recursive)
    text = read_text(args.text)
    detector = Detector(args.model, config=args.config, device=args.device)
    broken = LeftOut()
    source = ImageSource(files, on_broken=broken)
    names = dict(zip(map(str, files), stems(files)))
    found = detector.stream(
        source,
        text,
        batch_size=args.batch_size,
        progress=not args.quiet,
        score_thr=args.score_thr,
    )
    out, asked = Path(args.out), asked_names(text, detector)
    chosen = [WRITERS[k](out, asked) for k in args.formats if k in WRITERS]
    try:
        for each in found:
            path = each['image']
            picture = 'pictures' in args.formats
            write(each, out, names[path], chosen, picture, asked)
    finally:
        for writer in chosen:
            writer.close()
    print(f'written: {out}')
    return broken.exit_code()


def write(
    found: dict, out: Path, stem: str, writers, picture: bool, order
) -> None:
    """Write and print what was found in one image."""
    from mmclip.inference.image import load_image
    from mmclip.visualization import draw_found, save_picture

    path = found['image']
    image = load_image(path)
    for writer in writers:
        writer.add(Path(path), stem, image, found)
    target = ''
    if picture:
        target = out / f'{stem}.png'
        save_picture(target, draw_found(image, found, order=order))
    print(f'{path}: {describe(found)}{target and f" -> {target}"}')


def asked_names(text, detector) -> list[str]:
    """Return the names that have a fixed order; none for a caption."""
    from mmclip.clip.phrases import split_phrases
    from mmclip.inference.text import lists_names

    if text is None:
        return list(detector.classes)
    if isinstance(text, str) and not lists_names(text):
        return []
    return list(split_phrases(text))


def describe(found: dict) -> str:
    """Say in one line what was found."""
    if not found['labels']:
        return 'nothing found'
    return ', '.join(
        f'{name} {score:.2f}'
        for name, score in zip(found['labels'], found['scores'].tolist())
    )
