"""COCO average precision for each group of classes: base, novel, unseen.

C categories in the order of their ids.
"""

from collections.abc import Sequence

from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmclip.evaluation.curves import Curves, percent, summary
from mmclip.evaluation.detections import Detections
from mmclip.evaluation.ov_metric import OVMetric
from mmclip.registry import METRICS


@METRICS.register_module()
class OVCocoMetric(OVMetric):
    """COCO's figures, reported for every group of the dataset.

    A group is any ``<group>_classes`` of the dataset's metainfo. All classes
    are detected and evaluated together (the generalised setting), those of
    the annotation file that the dataset lacks are left out; a group's figure
    is the mean over those of its classes that have ground truth, -1 where
    none has. mmdet's metric of this name knows base and novel boxes at IoU
    .5 alone.

    Figures are fractions: ``coco/bbox_mAP``, ``coco/bbox_mAP_50``,
    ``coco/bbox_mAP_s``, ``coco/bbox_AR@100``, and of the groups
    ``coco/bbox_novel_mAP_50``, ``coco/segm_base_mAP`` and so on; with
    ``classwise`` also ``coco/bbox_mAP/<name>`` and
    ``coco/bbox_mAP_50/<name>``. The references' numbers, by hotcoco where it
    is installed.

    Args:
        *args: As for :class:`mmclip.evaluation.ov_metric.OVMetric`.
        proposal_nums: Limits of the detections counted in an image and
            class; precision is that of the last.
        **kwargs: Likewise.
    """

    reference = 'pycocotools'

    def __init__(
        self, *args, proposal_nums: Sequence[int] = (1, 10, 100), **kwargs
    ):
        super().__init__(*args, proposal_nums=sorted(proposal_nums), **kwargs)

    def category_ids(self) -> list[int]:
        """Return the id of each class of the dataset, found by name.

        Raises:
            ValueError: The annotation file lacks a class.
        """
        ids = {c['name']: i for i, c in self.truth.cats.items()}
        names = self.dataset_meta['classes']
        absent = [n for n in names if n not in ids]
        if absent:
            raise ValueError(
                f'{len(absent)} classes of the dataset are not in the '
                f'annotation file, such as {absent[:3]}; the file has '
                f'{list(ids)[:5]}: check metainfo and ann_file'
            )
        return [ids[name] for name in names]

    def groups(self) -> dict[str, list[str]]:
        """Return the names of every group that the dataset tells apart."""
        known = set(self.dataset_meta['classes'])
        return {
            key.removesuffix('_classes'): [n for n in names if n in known]
            for key, names in self.dataset_meta.items()
            if key.endswith('_classes')
        }

    def curves(self, found: Detections, metric: str) -> Curves:
        """Return precision and recall of the dataset's classes."""
        return self.backend.coco(
            self.truth, found, metric, self.category_ids(), self.proposal_nums
        )

    def columns(self) -> dict[str, int]:
        """Return where each class stands in :meth:`curves`."""
        ids = self.category_ids()
        place = {cat: i for i, cat in enumerate(sorted(ids))}
        return {
            name: place[cat]
            for name, cat in zip(self.dataset_meta['classes'], ids)
        }

    def measure(self, found: Detections, metric: str) -> dict[str, float]:
        """Return the figures of 'bbox' or 'segm', fractions."""
        curves, columns = self.curves(found, metric), self.columns()
        figures = summary(curves, self.proposal_nums)
        figures = {f'{metric}_{coco_key(k)}': v for k, v in figures.items()}
        for group, names in self.groups().items():
            those = [columns[name] for name in names]
            for end in ('', '50', '75'):
                figures[f'{metric}_{group}_{coco_key("AP" + end)}'] = (
                    curves.average_precision(those, end)
                )
        if self.classwise:
            for end in ('', '50'):
                key = f'{metric}_{coco_key("AP" + end)}'
                values = curves.precision_of_categories(end)
                figures |= {
                    f'{key}/{name}': float(values[i])
                    for name, i in columns.items()
                }
        return figures

    def log_table(self, figures: dict[str, float]) -> None:
        """Log AP, AP50 and AP75 in percent, one row a metric and group."""
        rows = [['', 'AP', 'AP50', 'AP75']]
        for key in figures:
            if key.endswith('mAP'):
                rows.append(
                    [key.removesuffix('_mAP')]
                    + [percent(figures[key + e]) for e in ('', '_50', '_75')]
                )
        MMLogger.get_current_instance().info('\n' + AsciiTable(rows).table)


def coco_key(figure: str) -> str:
    """Return mmdet's name of a figure: AP50 is mAP_50, ARs@100 AR_s@100."""
    kind, end = figure[:2], figure[2:]
    kind = {'AP': 'mAP'}.get(kind, kind)
    return f'{kind}{end}' if end[:1] in ('', '@') else f'{kind}_{end}'
