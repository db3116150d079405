"""How near a ViLD came to its teacher: cosines of region embeddings.

R boxes, D embedding width.

The true boxes of the test set are embedded twice, by the head that learnt
from the teacher and by the teacher's crops of the image (ViLD, sec. 3.3).
"""

import argparse

import numpy as np

from mmclip.figures.canvas import Sheet, tint

GROUPS = ('base', 'novel', 'unseen')


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmclip figure distillation``."""
    from mmengine.config import DictAction

    parser.add_argument(
        'config', help='config file, or a name as in `mmclip models`'
    )
    parser.add_argument('checkpoint', help='a file, or a work directory')
    parser.add_argument(
        '--images', type=int, default=100, help='of the test set'
    )
    parser.add_argument(
        '--clip',
        metavar='NAME',
        help="the teacher; default: the config's own",
    )
    parser.add_argument('--pretrained', metavar='TAG|FILE', help='its weights')
    parser.add_argument('--device', default='cpu')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE'
    )


def draw(args) -> np.ndarray:
    """Draw what the command line asks for, and print the medians."""
    from mmclip.inference import naming

    model, dataset = naming.load(args)
    check(model, args.checkpoint)
    teacher = find_teacher(model, args.clip, args.pretrained).to(args.device)
    found = cosines(*embeddings(model, teacher, dataset, args.images))
    for group, values in found.items():
        print(
            f'{group}: {len(values)} boxes, median cosine '
            f'{np.median(values):.3f}'
        )
    return draw_histogram(found, teacher.clip)


def check(model, checkpoint) -> None:
    """Raise a ValueError where a model learnt from no teacher."""
    head = getattr(model, 'roi_head', None)
    if getattr(head, 'loss_distill', None) is None:
        raise ValueError(
            f'{checkpoint} is of a {type(model).__name__} that learns from '
            'no teacher: name one with an image head (ViLD, ViLD-ensemble)'
        )


def find_teacher(model, clip: str | None, pretrained: str | None):
    """Return the encoder of crops that a model learnt from.

    Raises:
        ValueError: The config has no teacher, and none was named.
    """
    from mmclip.vild.crop_encoder import CropEncoder

    own = getattr(model, 'teacher', None)
    if clip is not None:
        mode = own.encoder.mode if own is not None else None
        return CropEncoder(clip, pretrained, mode=mode)
    if own is None:
        raise ValueError(
            'the config names no teacher (its embeddings came from a cache): '
            'name the CLIP that wrote it (--clip ViT-B-32-quickgelu '
            '--pretrained openai)'
        )
    return own.encoder


def embeddings(model, teacher, dataset, images: int) -> tuple:
    """Embed the true boxes of images twice.

    Args:
        model: A ViLD, in eval mode.
        teacher: A :class:`mmclip.vild.crop_encoder.CropEncoder`.
        dataset: A test set with base and novel classes.
        images: How many of them, at most.

    Returns:
        The student's and the teacher's unit embeddings (R, D), and the group
        of each box.

    Raises:
        ValueError: No box is of a class that is in a group.
    """
    import torch

    group_of = {
        name: group
        for group in GROUPS
        for name in dataset.metainfo.get(f'{group}_classes', ())
    }
    classes, parts, groups = dataset.metainfo['classes'], [], []
    for index in range(min(images, len(dataset))):
        boxes, labels, inputs, sample = true_boxes(model, dataset, index)
        known = [k for k, n in enumerate(labels) if classes[n] in group_of]
        if known:
            with torch.no_grad():
                parts.append(
                    both(model, teacher, boxes[known], inputs, sample)
                )
            groups += [group_of[classes[labels[k]]] for k in known]
    if not groups:
        raise ValueError(
            f'none of the first {images} images has a box of base or novel '
            'names: take more (--images), or check ann_file and the classes'
        )
    students, teachers = zip(*parts)
    return torch.cat(students), torch.cat(teachers), groups


def cosines(students, teachers, groups) -> dict[str, np.ndarray]:
    """Compare student and teacher, box by box.

    Args:
        students: (R, D).
        teachers: (R, D).
        groups: R of them.

    Returns:
        Cosines by group, and, as ``another box``, those of each student with
        the teacher of the next box: what nearness means without having
        learnt this one.
    """
    import torch

    near = torch.cosine_similarity(students, teachers).cpu().numpy()
    far = torch.cosine_similarity(students, teachers.roll(1, 0)).cpu().numpy()
    of = np.array(groups)
    found = {group: near[of == group] for group in GROUPS if group in groups}
    return {**found, 'another box': far}


def true_boxes(model, dataset, index: int) -> tuple:
    """Return boxes (R, 4) of the input, labels, the input and its sample."""
    item = dataset[index]
    batch = model.data_preprocessor(
        dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
    )
    sample = batch['data_samples'][0]
    known = [
        box
        for box in dataset.get_data_info(index)['instances']
        if not box['ignore_flag']
    ]
    zoom = np.tile(sample.get('scale_factor', (1.0, 1.0)), 2)
    corners = np.array([box['bbox'] for box in known]).reshape(-1, 4) * zoom
    boxes = batch['inputs'].new_tensor(corners)
    return boxes, [box['bbox_label'] for box in known], batch['inputs'], sample


def both(model, teacher, boxes, inputs, sample) -> tuple:
    """Embed boxes by student and teacher, (R, D) each."""
    import torch

    from mmclip.vild.online_teacher import restore

    head = model.roi_head
    rois = torch.cat([boxes.new_zeros(len(boxes), 1), boxes], dim=1)
    feats = head._pool(model.extract_feat(inputs), rois)
    embed = head.embed if head.shares_head else head.image_head
    picture = restore(inputs, [sample], model.data_preprocessor)
    (target,) = teacher(picture, [boxes])
    return embed(feats)[0], target


def draw_histogram(found: dict[str, np.ndarray], teacher: str) -> np.ndarray:
    """Draw how cosines are spread in each group.

    Args:
        found: Cosines (R,) by group.
        teacher: Its name.

    Returns:
        The picture, (H, W, 3) RGB.
    """
    sheet = Sheet(1, 7, 4)
    (axes,) = sheet.axes
    low = min(values.min() for values in found.values())
    bins = np.linspace(np.floor(10 * low) / 10, 1, 51)
    for k, (group, values) in enumerate(found.items()):
        colour = tint(k) if group in GROUPS else 'grey'
        label = f'{group}: {len(values)} boxes, median {np.median(values):.2f}'
        axes.hist(
            values,
            bins,
            weights=np.full(len(values), 100 / len(values)),
            histtype='step',
            linewidth=2,
            color=colour,
            label=label,
        )
        axes.axvline(np.median(values), color=colour, linestyle=':')
    axes.set(
        xlabel=f'cosine of region embedding and teacher ({teacher})',
        ylabel='% of boxes',
    )
    axes.legend(loc='upper left')
    return sheet.picture()
