"""Draw what one GLIPv2 says to its tasks, on one sheet.

``python tools/glip/draw_tasks.py glipv2_r18_fpn_shapes CHECKPOINT OUT.png``
takes the first images of each test set: a row a task, a column an image.
"""

import argparse
import sys
import textwrap
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import load_checkpoint
from PIL import Image, ImageDraw, ImageFont
from torchvision.ops import nms

import mmclip  # noqa: F401  (its mends let mmdet be imported)
from mmclip.data.shapes_files import write_file
from mmclip.jobs import find_config
from mmclip.visualization import draw_detections

TILE, GAP, LINE = 220, 8, 13  # pixels: a picture, between two, a line of text
STEP = 16  # between shades: what keeps the file small
OVERLAP = 0.6  # IoU from which the better of two detections is drawn alone


def picture_of(inputs: torch.Tensor, sample, min_score: float) -> np.ndarray:
    """Draw what was found in an image.

    Args:
        inputs: The image as the network was given it, uint8 BGR (3, H, W).
        sample: With the answer.
        min_score: Least score of a detection; of overlapping ones, and of a
            phrase, the best is drawn.
    """
    image = inputs.flip(0).permute(1, 2, 0).contiguous().numpy()
    found = sample.get('pred_instances')
    if found is None:
        return draw_detections(image, [], [], min_side=TILE)
    if sample.task == 'grounding':
        labels = found.labels.tolist()  # best first
        kept = [labels.index(label) for label in dict.fromkeys(labels)]
    else:
        good = found.scores >= min_score
        kept = nms(found.bboxes[good], found.scores[good], OVERLAP).tolist()
    masks = found.masks[kept].numpy() if 'masks' in found else None
    return draw_detections(
        image,
        found.bboxes[kept].numpy(),
        [found.label_names[k] for k in kept],
        masks=masks,
        min_side=TILE,
    )


def text_of(sample) -> str:
    """Return what stands below a picture."""
    if sample.task == 'vqa':
        wanted = sample.get('gt_answer', '')
        right = '' if wanted == sample.pred_answer else f' (wrong: {wanted})'
        return f'{sample.question} {sample.pred_answer}{right}'
    if sample.task == 'caption':
        return sample.pred_caption
    if sample.task == 'grounding':
        return f'"{sample.text}"'
    return f'detection of {len(sample.text)} names'


def sheet(rows: list[list[tuple[np.ndarray, str]]]) -> Image.Image:
    """Lay pictures out, each above its text."""
    font = ImageFont.load_default()
    step, high = TILE + GAP, TILE + 4 * LINE
    columns = max(map(len, rows))
    whole = Image.new('RGB', (columns * step - GAP, len(rows) * high), 'white')
    draw = ImageDraw.Draw(whole)
    for i, row in enumerate(rows):
        for k, (picture, text) in enumerate(row):
            tile = Image.fromarray(picture).resize((TILE, TILE))
            whole.paste(tile, (k * step, i * high))
            lines = '\n'.join(textwrap.wrap(text, 36, max_lines=3))
            below = (k * step, i * high + TILE + 1)
            draw.multiline_text(below, lines, 'black', font, spacing=1)
    return whole


def answers(model, dataset, count: int, min_score: float) -> list:
    """Return pictures and texts of a data set's first images."""
    items = [dataset[k] for k in range(count)]
    data = model.data_preprocessor(
        dict(
            inputs=[item['inputs'] for item in items],
            data_samples=[item['data_samples'] for item in items],
        )
    )
    with torch.no_grad():
        found = model.predict(**named(data), rescale=False)
    return [
        (picture_of(item['inputs'], sample, min_score), text_of(sample))
        for item, sample in zip(items, found)
    ]


def named(data: dict) -> dict:
    """Return a batch under the names that ``predict`` has."""
    return dict(
        batch_inputs=data['inputs'], batch_data_samples=data['data_samples']
    )


def main(argv=None) -> int:
    """Write the sheet as a PNG file of few shades."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='file, or a name as in mmclip models')
    parser.add_argument('checkpoint')
    parser.add_argument('out', type=Path)
    parser.add_argument('--images', type=int, default=4, help='of each task')
    parser.add_argument('--min-score', type=float, default=0.4)
    args = parser.parse_args(argv)
    cfg = Config.fromfile(find_config(args.config))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model).eval()
        load_checkpoint(model, args.checkpoint, map_location='cpu')
        rows = [
            answers(model, DATASETS.build(part), args.images, args.min_score)
            for part in cfg.test_dataloader.dataset.datasets
        ]
    shades = np.asarray(sheet(rows)) // STEP * (255 / (255 // STEP))
    stream = BytesIO()
    Image.fromarray(shades.astype(np.uint8)).save(stream, 'PNG', optimize=True)
    write_file(args.out, stream.getvalue())
    print(f'written: {args.out}, {len(stream.getvalue()) // 1024} KB')
    return 0


if __name__ == '__main__':
    sys.exit(main())
