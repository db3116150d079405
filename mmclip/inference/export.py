"""Export a trained model from the command line, and check the file.

Images are uint8 (H, W, 3) RGB.
"""

import argparse
from pathlib import Path

import numpy as np

from mmclip.inference.image import load_image

TOLERANCE = 1e-4  # of a segmentor's scores


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip export``."""
    parser.add_argument(
        'config', help='config file, or a name as in `mmclip models`'
    )
    parser.add_argument(
        'checkpoint', help='work directory of a training, or a checkpoint'
    )
    parser.add_argument('out', metavar='OUT.onnx', help='the file')
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
        help='of the images; default: one sliding window, else what the test '
        'pipeline resizes to',
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
    from mmclip.clip.onnx_file import need

    need('onnx')  # before a model is loaded for nothing
    pictures = []
    if args.check is not None:
        need('onnxruntime')
        pictures = [(path, load_image(path)) for path in args.check]
    names = wanted_names(args)
    segments = is_segmentor(args.config)
    if segments:
        from mmclip.clip.segmentor_export import export_segmentor as export
        from mmclip.inference.segmentor import Segmentor as Trained
    else:
        from mmclip.inference.detector import Detector as Trained
        from mmclip.vild.export import export_onnx as export
    trained = Trained(args.checkpoint, config=args.config, device='cpu')
    if names is not None:
        trained.set_vocabulary(names)
    size = args.size or window_size(trained.model)
    size = size or pipeline_size(trained.pipeline)
    export(
        trained.model,
        args.out,
        tuple(size),
        vocabulary_input=args.vocabulary_input,
    )
    head = trained.model.decode_head if segments else trained.model.roi_head
    print(
        f'{args.out}: {len(head.vocabulary)} names, images of {size[0]} x '
        f'{size[1]} (height x width), '
        f'{Path(args.out).stat().st_size / 1e6:.1f} MB'
    )
    if args.check is None:
        return 0
    compare = check_segmentor if segments else check
    return compare(trained.model, args.out, pictures)


def is_segmentor(config: str) -> bool:
    """Tell whether a config is of mmseg's scope, or pretrains GroupViT."""
    from mmengine.config import Config

    from mmclip.groupvit.from_pretraining import is_pretrainer
    from mmclip.jobs import find_config

    cfg = Config.fromfile(find_config(config))
    return cfg.get('default_scope') == 'mmseg' or is_pretrainer(
        cfg.get('model') or {}
    )


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


def window_size(model) -> tuple[int, int] | None:
    """Return the size of a segmentor's sliding windows; None without."""
    test_cfg = getattr(model, 'test_cfg', None) or {}
    if test_cfg.get('mode', 'whole') == 'whole':
        return None
    return tuple(test_cfg.get('crop_size') or ()) or None


def pipeline_size(pipeline) -> tuple[int, int]:
    """Return the height and width that a test pipeline resizes to.

    Where it bounds the shorter side alone, that side squared.

    Raises:
        ValueError: It has no Resize of one scale.
    """
    for step in pipeline.transforms:
        scale = getattr(step, 'scale', None)
        if isinstance(scale, (tuple, list)) and len(scale) == 2:
            width, height = map(int, scale)  # mmdet writes width first
            if getattr(step, 'keep_ratio', False) and width > 4 * height:
                width = height  # the longer side is no bound
            return height, width
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
    wrong = 0
    for name, image in with_noise(pictures, exported.size):
        fill = exported.facts.get('mean', (0, 0, 0))
        difference = compare(model, exported, fit(image, exported.size, fill))
        wrong += difference.exceeds()
        verdict = 'DIFFERS' if difference.exceeds() else 'equal'
        print(f'{name}: {verdict}: {difference}')
    return min(wrong, 1)


def check_segmentor(model, path, pictures) -> int:
    """Print how far a segmentor's file is from torch; 1 if too far.

    Arguments are those of :func:`check`.
    """
    from mmclip.clip.segmentor_export import ExportedSegmentor, difference

    exported = ExportedSegmentor(path)
    wrong = 0
    for name, image in with_noise(pictures, exported.size):
        gap, other = difference(
            model, exported, fit(image, exported.size, (0, 0, 0))
        )
        wrong += gap > TOLERANCE
        verdict = 'DIFFERS' if gap > TOLERANCE else 'equal'
        print(
            f'{name}: {verdict}: largest difference of a score {gap:.1e} of '
            f'the largest score, {100 * other:.3f} % other labels'
        )
    return min(wrong, 1)


def with_noise(pictures: list, size) -> list[tuple[str, np.ndarray]]:
    """Add noise to what is compared, and a scene where nothing else is."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3))
    if not pictures:
        from mmclip.data.shapes import draw_scene

        pictures = [('a drawn scene', draw_scene(0).image)]
    return [('noise', noise.astype(np.uint8)), *pictures]


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
