"""What a segmentor of the shapes world reaches that knows one attribute.

The oracle has perfect masks and knows each object's colour (or texture, or
shape) and nothing else: it picks any of the names that share it, each as
often as the others. Prints the mIoU of each group of names:

    python benchmarks/lseg_oracles.py lseg_shapes-clip-dpt_shapes

The figures are those of ``mmclip.OVIoUMetric`` on the config's test set, in
percent; pixels are counted in expectation, so there is no seed.
"""

import argparse

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

import mmclip  # noqa: F401
from mmclip.data.shapes_concepts import parse
from mmclip.evaluation.ov_iou import group_iou, groups_of
from mmclip.jobs import find_config

ATTRIBUTES = ('colour', 'texture', 'shape')


def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Print and return the figures of each oracle."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config')
    args = parser.parse_args(argv)
    cfg = Config.fromfile(find_config(args.config))
    init_default_scope('mmseg')
    dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, pipeline=[]))
    classes = list(dataset.metainfo['classes'])
    groups = groups_of(dataset.metainfo)
    area = areas(dataset, len(classes))
    figures = {}
    for attribute in ATTRIBUTES:
        chance = guesses(classes, attribute)
        intersect = area * chance.diagonal()
        found = area @ chance
        own = group_iou(intersect, area + found - intersect, classes, groups)
        figures[attribute] = {k: 100 * v for k, v in own.items()}
        shown = ', '.join(
            f'{k} {v:.1f}' for k, v in figures[attribute].items()
        )
        print(f'knows only the {attribute}: {shown}')
    return figures


def areas(dataset, count: int) -> np.ndarray:
    """Count the true pixels of each class in a data set, (count,)."""
    total = np.zeros(count)
    for k in range(len(dataset)):
        seen = dataset.get_data_info(k)['drawn_seg_map']
        total += np.bincount(seen[seen < count], minlength=count)
    return total


def guesses(classes: list[str], attribute: str) -> np.ndarray:
    """Return how often each true name is taken for each name, (C, C)."""
    known = [
        name if name == 'background' else getattr(parse(name), attribute)
        for name in classes
    ]
    same = np.array([[a == b for b in known] for a in known], float)
    return same / same.sum(axis=1, keepdims=True)


if __name__ == '__main__':
    main()
