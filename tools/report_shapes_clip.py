"""Measure shapes-clip, and draw what it confuses and where it looks.

``python tools/report_shapes_clip.py`` prints a table: zero-shot top-1 of
single objects by split, the accuracy of names given to dense features under
an object's mask, and caption retrieval; all on drawings of seeds that
training does not use. ``--pictures docs/en/_static`` also writes the figures.

Symbols: B images, K names, N objects, D embedding width.
"""

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor
from torch.nn import functional as F

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clip.shapes_clip import load_shapes_clip
from mmclip.data.shapes import (
    COLOURS,
    SHAPES,
    SPLITS,
    TEXTURES,
    concepts,
    draw_portrait,
    draw_scene,
    parse,
)
from mmclip.data.shapes_captions import (
    RELATIONS,
    captions,
    related,
    with_article,
)

SEED = 1_000_003  # training draws from (0, step, block, index)
OPPOSITE = dict(zip(RELATIONS, (RELATIONS[k] for k in (1, 0, 3, 2))))
EXAMPLE = ('red circle', 'blue square', 'yellow triangle', 'red star')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--weights', type=Path, default=None)
    parser.add_argument('--images', type=int, default=400)
    parser.add_argument('--pictures', type=Path, help='folder for figures')
    return parser.parse_args()


def pixels(images: list, side: int) -> Tensor:
    """Return network inputs (B, 3, side, side) of uint8 RGB images."""
    mean, std = (
        torch.tensor(v).view(3, 1, 1) * 255
        for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    )
    batch = [
        F.interpolate(
            torch.from_numpy(image).permute(2, 0, 1)[None].float(),
            (side, side),
            mode='bilinear',
            antialias=True,
        )
        for image in images
    ]
    return (torch.cat(batch) - mean) / std


def text_table(model, tokenizer, listed) -> Tensor:
    """Return unit embeddings (K, D) of ``a photo of a {name}.``."""
    texts = [f'a photo of {with_article(c.name)}.' for c in listed]
    return model.encode_text(tokenizer(texts), normalize=True)


def embed(model, images: list, side: int) -> Tensor:
    """Return unit embeddings (B, D), in batches of 100."""
    return torch.cat(
        [
            model.encode_image(
                pixels(images[k : k + 100], side), normalize=True
            )
            for k in range(0, len(images), 100)
        ]
    )


def portraits(among, count: int, *seed: int) -> tuple[list, list]:
    """Draw single objects; return images and concepts."""
    sides = (40, 52, 64, 96)
    scenes = [
        draw_portrait((SEED, *seed, i), sides[i % 4], among)
        for i in range(count)
    ]
    return ([s.image for s in scenes], [s.objects[0].concept for s in scenes])


def crops(among, count: int, *seed: int) -> tuple[list, list]:
    """Cut the first object out of scenes, a square with up to 30 % of slack.

    A crop squashed to a square would turn an oval into a circle.
    """
    rng, images, truth = np.random.default_rng(seed), [], []
    for i in range(count):
        scene = draw_scene((SEED, *seed, i), 128, among)
        entry = scene.objects[0]
        x0, y0, x1, y1 = entry.box
        half = int(max(x1 - x0, y1 - y0) * (0.5 + 0.15 * rng.random())) + 1
        x, y = int((x0 + x1) / 2), int((y0 + y1) / 2)
        images.append(
            scene.image[
                max(0, y - half) : y + half, max(0, x - half) : x + half
            ]
        )
        truth.append(entry.concept)
    return images, truth


def answers(model, table: Tensor, listed, images, truth, side: int = 64):
    """Return the numbers of the true and of the answered names."""
    truth = torch.tensor([listed.index(concept) for concept in truth])
    return truth, (embed(model, images, side) @ table.T).argmax(1)


def share(truth: Tensor, answer: Tensor) -> float:
    """Return the part of right answers."""
    return (truth == answer).float().mean().item()


def name_masks(model, table: Tensor, scene, side: int) -> Tensor:
    """Return the number of the name of each object's pooled features (N,)."""
    features = CLIPImageEncoder(model).dense(
        pixels([scene.image], side), normalize=False
    )
    masks = torch.tensor(np.stack([o.mask for o in scene.objects]))
    masks = F.interpolate(
        masks[None].float(), features.shape[-2:], mode='area'
    )[0]
    pooled = torch.einsum('nhw,dhw->nd', masks, features[0])
    return (F.normalize(pooled, dim=-1) @ table.T).argmax(1)


def dense_share(model, table, listed, among, count: int, side: int) -> float:
    """Return how often mask-pooled dense features name their object."""
    found = []
    for i in range(count):
        scene = draw_scene((SEED, 9, i), 128, among, (2, 6))
        truth = [listed.index(o.concept) for o in scene.objects]
        found.append(
            (torch.tensor(truth), name_masks(model, table, scene, side))
        )
    return share(*(torch.cat(part) for part in zip(*found)))


def retrieval(model, tokenizer, count: int) -> float:
    """Return how often a scene of two or three picks its caption of many."""
    scenes = [
        draw_scene((SEED, 7, i), 128, concepts('base', 'novel'), (2, 3))
        for i in range(count)
    ]
    text = model.encode_text(
        tokenizer([captions(s)[0] for s in scenes]), normalize=True
    )
    image = embed(model, [s.image for s in scenes], 128)
    return share(torch.arange(count), (image @ text.T).argmax(1))


def relation_share(model, tokenizer, count: int) -> float:
    """Return how often a true relation beats its opposite; 0.5 is chance."""
    right = []
    for i in range(count):
        scene = draw_scene(
            (SEED, 8, i), 128, concepts('base', 'novel'), (2, 2)
        )
        said = related(*scene.objects) if len(scene.objects) == 2 else None
        if said is None:
            continue
        where = next(w for w in RELATIONS if f' {w} ' in said)
        texts = [said, said.replace(f' {where} ', f' {OPPOSITE[where]} ')]
        text = model.encode_text(tokenizer(texts), normalize=True)
        scores = (embed(model, [scene.image], 128) @ text.T)[0]
        right.append(float(scores[0] > scores[1]))
    return float(np.mean(right))


def print_table(model, tokenizer, count: int) -> None:
    """Print the card's table, in per cent."""
    print(
        '| names | split | object | crop | dense, 128 px | dense, 256 px |\n'
        '|---|---|---|---|---|---|'
    )
    for vocabulary in ('shapes-80', 'all'):
        listed = concepts(vocabulary=vocabulary)
        table = text_table(model, tokenizer, listed)
        for k, split in enumerate(SPLITS):
            among = concepts(split, vocabulary=vocabulary)
            row = [
                share(*answers(model, table, listed, *draw(among, count, k)))
                for draw in (portraits, crops)
            ]
            row += [
                dense_share(model, table, listed, among, count // 4, side)
                for side in (128, 256)
            ]
            print(
                f'| {vocabulary} ({len(listed)}) | {split} | '
                + ' | '.join(f'{100 * value:.1f}' for value in row)
                + ' |'
            )
    print(
        f'\nretrieval, scene to caption of {count // 4}: '
        f'{100 * retrieval(model, tokenizer, count // 4):.1f} %; relation '
        'against its opposite (50 is chance): '
        f'{100 * relation_share(model, tokenizer, count // 2):.1f} %'
    )


def example_scene():
    """Return the first scene that shows each of ``EXAMPLE`` once."""
    among = [parse(name) for name in EXAMPLE]
    for seed in range(10_000):
        scene = draw_scene(seed, 128, among, (4, 4), (0.12, 0.2))
        if {o.concept for o in scene.objects} == set(among):
            return scene
    raise RuntimeError('no seed below 10000 shows every example')


def draw_confusion(model, tokenizer, count: int, path: Path) -> None:
    """Write confusions of shape, texture and colour over all 672 names."""
    from matplotlib import pyplot

    listed = concepts()
    table = text_table(model, tokenizer, listed)
    found = answers(model, table, listed, *portraits(listed, count, 5))
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 5.2), dpi=72)
    parts = (
        ('shape', SHAPES),
        ('texture', TEXTURES),
        ('colour', tuple(COLOURS)),
    )
    for axis, (kind, words) in zip(axes, parts):
        counts = np.zeros((len(words), len(words)))
        for truth, answer in zip(*found):
            pair = (getattr(listed[n], kind) for n in (truth, answer))
            counts[tuple(words.index(word) for word in pair)] += 1
        counts /= counts.sum(1, keepdims=True)
        axis.imshow(counts, cmap='Blues', vmin=0, vmax=1)
        axis.set_xticks(range(len(words)), words, rotation=90)
        axis.set_yticks(range(len(words)), words)
        axis.set_title(f'{kind}: {100 * np.diag(counts).mean():.1f} % right')
    write_figure(figure, path)


def draw_dense(model, tokenizer, path: Path) -> None:
    """Write a scene and where dense features answer to each name in it.

    The picture shows how far a position's answer to the name stands above
    its mean answer to the 80 names.
    """
    from matplotlib import pyplot

    scene, listed = example_scene(), concepts(vocabulary='shapes-80')
    table = text_table(model, tokenizer, listed)
    asked = text_table(model, tokenizer, [parse(name) for name in EXAMPLE])
    features = CLIPImageEncoder(model).dense(
        pixels([scene.image], 256), normalize=False
    )
    maps = torch.einsum('dhw,kd->khw', features[0], asked - table.mean(0))
    maps = F.interpolate(maps[None], (128, 128), mode='bilinear')[0]
    figure, axes = pyplot.subplots(1, 5, figsize=(12, 2.8), dpi=60)
    axes[0].imshow(scene.image)
    for axis, name, heat in zip(axes[1:], EXAMPLE, maps):
        axis.imshow(heat, cmap='gray', vmin=0)
        axis.set_title(name)
    for axis in axes:
        axis.axis('off')
    write_figure(figure, path)


def write_figure(figure, path: Path) -> None:
    """Save a matplotlib figure through a temporary file."""
    temporary = path.with_name(f'.{os.getpid()}{path.name}')
    figure.tight_layout()
    figure.savefig(temporary)
    os.replace(temporary, path)


def write_pictures(model, tokenizer, count: int, folder: Path) -> None:
    """Write the example scene and both figures of the card."""
    folder.mkdir(parents=True, exist_ok=True)
    image = example_scene().image
    temporary = folder / f'.{os.getpid()}shapes_scene.png'
    cv2.imwrite(str(temporary), image[..., ::-1])
    os.replace(temporary, folder / 'shapes_scene.png')
    draw_confusion(
        model, tokenizer, count, folder / 'shapes_clip_confusion.png'
    )
    draw_dense(model, tokenizer, folder / 'shapes_clip_dense.png')


@torch.no_grad()
def main() -> None:
    """Print the table, and write the pictures where asked."""
    args = parse_args()
    model, tokenizer = load_shapes_clip(args.weights)
    if args.pictures:
        write_pictures(model, tokenizer, 3 * args.images, args.pictures)
    print_table(model, tokenizer, args.images)


if __name__ == '__main__':
    main()
