"""COCO average precision for each group of classes: base, novel, unseen.

T IoU thresholds (.50:.05:.95), C categories.
"""

import contextlib
import io
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mmdet.evaluation.metrics import CocoMetric
from mmengine.fileio import load
from mmengine.logging import MMLogger
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from terminaltables import AsciiTable

from mmclip.registry import METRICS


@METRICS.register_module()
class OVCocoMetric(CocoMetric):
    """mmdet's CocoMetric, reported for every group of the dataset.

    A group is any ``<group>_classes`` of the dataset's metainfo. All classes
    are detected and evaluated together (the generalised setting); a group's
    figure is the mean over those of its classes that have ground truth, -1
    where none has. mmdet's metric of this name knows base and novel boxes
    at IoU .5 alone.

    Figures are fractions: ``coco/bbox_mAP``, ``coco/bbox_mAP_50``,
    ``coco/bbox_novel_mAP_50``, ``coco/segm_base_mAP`` and so on. Arguments
    are those of CocoMetric; of ``metric`` it takes 'bbox' and 'segm', and
    the last of ``proposal_nums`` is the number of detections an image.
    """

    def __init__(self, *args, proposal_nums=(1, 10, 100), **kwargs):
        super().__init__(*args, proposal_nums=proposal_nums, **kwargs)
        wrong = set(self.metrics) - {'bbox', 'segm'}
        if wrong:
            raise ValueError(
                f"OVCocoMetric measures 'bbox' and 'segm', got {wrong}: use "
                'mmdet.CocoMetric beside it for proposals'
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return every figure of every group; print them as a table."""
        truths, found = zip(*results)
        with TemporaryDirectory() as folder:
            prefix = self.outfile_prefix or str(Path(folder) / 'results')
            self._open_ground_truth(truths, prefix)
            files = self.results2json(found, prefix)
            if self.format_only:
                return OrderedDict()
            figures = OrderedDict()
            for metric in self.metrics:
                detections = load(files[metric])
                figures.update(self._measure(detections, metric))
        print_table(figures)
        return figures

    def _open_ground_truth(self, truths, prefix: str) -> None:
        if self._coco_api is None:
            with contextlib.redirect_stdout(io.StringIO()):
                self._coco_api = COCO(self.gt_to_coco_json(truths, prefix))
        ids = {
            c['name']: c['id'] for c in self._coco_api.dataset['categories']
        }
        absent = [n for n in self.dataset_meta['classes'] if n not in ids]
        if absent:
            raise ValueError(
                f'{len(absent)} classes of the dataset are not in the '
                f'annotation file, such as {absent[:3]}; the file has '
                f'{list(ids)[:5]}: check metainfo and ann_file'
            )
        self.cat_ids = [ids[name] for name in self.dataset_meta['classes']]
        self.img_ids = self._coco_api.getImgIds()

    def _groups(self) -> dict[str, list[int]]:
        """Return the positions in ``classes`` of every group's classes."""
        position = {n: i for i, n in enumerate(self.dataset_meta['classes'])}
        groups = {'': list(range(len(position)))}
        for key, names in self.dataset_meta.items():
            if key.endswith('_classes'):
                groups[key.removesuffix('classes')] = [
                    position[name] for name in names if name in position
                ]
        return groups

    def _measure(self, detections: list[dict], metric: str) -> dict:
        precision = average_precision(
            self._coco_api,
            detections,
            metric,
            self.cat_ids,
            self.img_ids,
            self.proposal_nums[-1],
        )  # (T, C)
        return {
            f'{metric}_{group}mAP{end}': mean_valid(
                precision[rows][:, columns]
            )
            for group, columns in self._groups().items()
            for end, rows in (
                ('', slice(None)),
                ('_50', slice(0, 1)),
                ('_75', slice(5, 6)),
            )
        }


def average_precision(
    truth: COCO,
    detections: list[dict],
    iou_type: str,
    cat_ids: list[int],
    img_ids: list[int],
    max_dets: int = 100,
) -> np.ndarray:
    """Compute COCO's AP of every category at every IoU threshold.

    Args:
        truth: The ground truth.
        detections: COCO result records.
        iou_type: 'bbox' or 'segm'.
        cat_ids: The C categories to evaluate, in the order of the columns.
        img_ids: The images to evaluate.
        max_dets: Detections counted in an image and category.

    Returns:
        (T, C) fractions, NaN for a category without ground truth.
    """
    if not detections:
        counted = {
            a['category_id']
            for a in truth.dataset.get('annotations', [])
            if not a.get('iscrowd')
        }
        column = [0.0 if cat in counted else np.nan for cat in cat_ids]
        return np.tile(column, (10, 1))
    if iou_type == 'segm':  # else COCO takes the area of the box
        detections = [
            {k: v for k, v in d.items() if k != 'bbox'} for d in detections
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(truth, truth.loadRes(detections), iou_type)
        evaluator.params.catIds = sorted(cat_ids)
        evaluator.params.imgIds = img_ids
        evaluator.params.maxDets = sorted({1, 10, max_dets})
        evaluator.evaluate()
        evaluator.accumulate()
    # (T, recall, C) of all areas and the largest number of detections
    precision = evaluator.eval['precision'][:, :, :, 0, -1]
    precision = np.where(
        (precision == -1).all(axis=1), np.nan, precision.mean(axis=1)
    )  # (T, C)
    order = {cat: i for i, cat in enumerate(sorted(cat_ids))}
    return precision[:, [order[cat] for cat in cat_ids]]


def mean_valid(precision: np.ndarray) -> float:
    """Average what is not NaN; -1 where all is, as COCO says it."""
    valid = precision[~np.isnan(precision)]
    return float(valid.mean()) if valid.size else -1.0


def print_table(figures: dict[str, float]) -> None:
    """Log AP, AP50 and AP75 in percent, one row a metric and group."""
    rows = [['', 'AP', 'AP50', 'AP75']]
    for key in figures:
        if key.endswith('mAP'):
            rows.append(
                [key.removesuffix('_mAP').removesuffix('mAP')]
                + [
                    f'{100 * figures[key + end]:.1f}'
                    for end in ('', '_50', '_75')
                ]
            )
    MMLogger.get_current_instance().info('\n' + AsciiTable(rows).table)
