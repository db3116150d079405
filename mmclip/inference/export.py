"""Export a trained detector from the command line, and check the file.

Images are uint8 (H, W, 3) RGB.
"""

import argparse
from pathlib import Path

import numpy as np

from mmclip.inference.image import load_image


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip export``."""
    parser.add_argument(
        'config', help='config file, or a name as in `mmclip models`'
    )
    parser.add_argument(
        'checkpoint', help='work directory of a training, or a checkpoint'
    )
    parser.add_argument('out', metavar='OUT.onnx')
    names = parser.add_mutually_exclusive_group()
    names.add_argument(
        '--text',
        help='names to bake in, such as "red circle . blue square"; default: '
        'those saved in the checkpoint',
    )
    names.add_argument(
        '--names-file', metavar='FILE', help='the same, one name a line'
    )
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='of the images; default: what the test pipeline resizes to',
    )
    parser.add_argument(
        '--vocabulary-input',
        action='store_true',
        help='let the file be asked for other names by their text embeddings',
    )
    parser.add_argument(
        '--check',
        nargs='*',
        metavar='IMAGE',
        help='compare the file with torch on noise and on these images '
        '(default: a drawn scene); exit code 1 where they differ',
    )


def run(args) -> int:
    """Export; with ``--check``, return 1 if the file answers otherwise."""
    from mmclip.inference.detector import Detector
    from mmclip.vild.export import export_onnx, need

    need('onnx')  # before a model is loaded for nothing
    pictures = []
    if args.check is not None:
        need('onnxruntime')
        pictures = [(path, load_image(path)) for path in args.check]
    names = wanted_names(args)
    detector = Detector(args.checkpoint, config=args.config, device='cpu')
    if names is not None:
        detector.set_vocabulary(names)
    size = args.size or pipeline_size(detector.pipeline)
    export_onnx(
        detector.model,
        args.out,
        tuple(size),
        vocabulary_input=args.vocabulary_input,
    )
    count = len(detector.model.roi_head.vocabulary)
    print(
        f'{args.out}: {count} names, images of {size[0]} x {size[1]} (height '
        f'x width), {Path(args.out).stat().st_size / 1e6:.1f} MB'
    )
    if args.check is None:
        return 0
    return check(detector.model, args.out, pictures)


def wanted_names(args) -> list[str] | dict | None:
    """Return the names of the command line; None for the checkpoint's.

    Raises:
        ValueError: The file holds no name.
        OSError: The file cannot be read.
    """
    from mmclip.clip.phrases import split_phrases

    if args.names_file is None:
        return None if args.text is None else split_phrases(args.text)
    lines = Path(args.names_file).read_text(encoding='utf8').splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError(
            f'{args.names_file} holds no name: write one name a line'
        )
    return names


def pipeline_size(pipeline) -> tuple[int, int]:
    """Return the height and width that a test pipeline resizes to.

    Raises:
        ValueError: It has no Resize of one scale.
    """
    for step in pipeline.transforms:
        scale = getattr(step, 'scale', None)
        if isinstance(scale, (tuple, list)) and len(scale) == 2:
            return int(scale[1]), int(scale[0])  # mmdet writes width first
    raise ValueError(
        'the test pipeline does not resize to one scale: give the height and '
        'width of the images (--size H W)'
    )


def check(model, path, pictures: list[tuple[str, np.ndarray]]) -> int:
    """Print how far a file is from torch; 1 if too far.

    Args:
        model: What was exported.
        path: The file.
        pictures: Names and images; noise is added, and a drawn scene where
            there are none.
    """
    from mmclip.vild.export import ExportedDetector, compare

    exported = ExportedDetector(path)
    noise = np.random.default_rng(0).integers(0, 256, (*exported.size, 3))
    if not pictures:
        from mmclip.data.shapes import draw_scene

        pictures = [('a drawn scene', draw_scene(0).image)]
    pictures = [('noise', noise.astype(np.uint8)), *pictures]
    wrong = 0
    for name, image in pictures:
        fill = exported.facts.get('mean', (0, 0, 0))
        difference = compare(model, exported, fit(image, exported.size, fill))
        wrong += difference.exceeds()
        verdict = 'DIFFERS' if difference.exceeds() else 'equal'
        print(f'{name}: {verdict}: {difference}')
    return min(wrong, 1)


def fit(image: np.ndarray, size: tuple[int, int], fill) -> np.ndarray:
    """Enlarge or shrink an image into a size, its own ratio kept.

    Args:
        image: (h, w, 3).
        size: H and W.
        fill: Colour of what is left at the right or bottom; the mean of the
            training is what mmdet pads with.

    Returns:
        (H, W, 3).
    """
    import cv2

    zoom = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(1, round(n * zoom)) for n in image.shape[:2])
    canvas = np.empty((*size, 3), np.uint8)
    canvas[:] = np.round(fill)
    canvas[:height, :width] = cv2.resize(image, (width, height))
    return canvas
