"""LVIS average precision of rare, common and frequent classes.

LVIS is federated: an image says which classes were looked for, and the
frequency letter of a class stands in the annotation file. Rare classes are
ViLD's novel ones. C categories in the order of their ids.
"""

from collections.abc import Sequence

from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmclip.evaluation.curves import Curves, percent, summary
from mmclip.evaluation.detections import Detections
from mmclip.evaluation.ov_metric import OVMetric
from mmclip.registry import METRICS

FREQUENCIES = ('r', 'c', 'f')


@METRICS.register_module()
class OVLVISMetric(OVMetric):
    """LVIS's own measure, in seconds.

    Figures are fractions: ``lvis/bbox_AP``, AP50, AP75, APs, APm, APl, APr,
    APc, APf, ``AR@300`` and ``ARs@300`` (m, l) as lvis-api names them; with
    ``classwise`` also ``lvis/bbox_AP/<name>``. mmdet's LVISMetric needs a
    ``lvis`` package that no longer runs on today's numpy, and takes minutes
    and tens of gigabytes. Labels are matched to categories by the dataset's
    ``category_ids``, never by name, since one name is spelled differently in
    LVIS's files and in mmdet.

    Args:
        ann_file: LVIS annotation file with ``frequency`` letters.
        metric: 'bbox', 'segm' or both.
        max_dets: Detections counted in an image, over all classes.
        fixed_ap: Whether to report fixed AP, too (``lvis/bbox_fixed_AP`` and
            so on): no limit for an image, but one for a class over all
            images (Dave et al., 2021, section 4). The detector should then
            give more than ``max_dets`` an image.
        max_dets_per_class: That limit.
        **kwargs: As for :class:`mmclip.evaluation.ov_metric.OVMetric`.
    """

    default_prefix = 'lvis'
    reference = 'lvis'

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = 'segm',
        max_dets: int = 300,
        fixed_ap: bool = False,
        max_dets_per_class: int = 10000,
        **kwargs,
    ):
        super().__init__(ann_file, metric, **kwargs)
        self.max_dets, self.fixed_ap = max_dets, fixed_ap
        self.max_dets_per_class = max_dets_per_class

    def category_ids(self) -> list[int]:
        """Return the id of each label.

        Raises:
            ValueError: The dataset has neither ``category_ids`` nor all
                classes of the file.
        """
        ids = self.dataset_meta.get('category_ids')
        if ids is not None:
            return list(ids)
        names = self.dataset_meta['classes']
        if len(names) != len(self.truth.cats):
            raise ValueError(
                f'the dataset has {len(names)} classes without category_ids, '
                f'{self.ann_file} has {len(self.truth.cats)}: take '
                'mmclip.OVLVISV1Dataset, which knows the ids'
            )
        return sorted(self.truth.cats)

    def columns(self) -> dict[str, list[int]]:
        """Return the positions of rare, common and frequent categories.

        Raises:
            ValueError: A category has no frequency letter.
        """
        cats = self.truth.cats
        letters = [cats[i].get('frequency') for i in sorted(cats)]
        if set(letters) - set(FREQUENCIES):
            raise ValueError(
                f'{self.ann_file} has categories without a frequency letter '
                "(r, c or f): take LVIS v1's own annotation file"
            )
        return {
            letter: [i for i, has in enumerate(letters) if has == letter]
            for letter in FREQUENCIES
        }

    def curves(
        self, found: Detections, metric: str, fixed: bool = False
    ) -> Curves:
        """Return precision and recall of all categories of the file."""
        if fixed:
            found = found.best_of_categories(self.max_dets_per_class)
        limit = None if fixed else self.max_dets
        return self.backend.lvis(self.truth, found, metric, limit)

    def measure(self, found: Detections, metric: str) -> dict[str, float]:
        """Return the figures of 'bbox' or 'segm', fractions."""
        figures = self._figures(found, metric, fixed=False)
        if self.fixed_ap:
            figures |= self._figures(found, metric, fixed=True)
        return figures

    def _figures(self, found: Detections, metric: str, fixed: bool) -> dict:
        columns = self.columns()
        curves = self.curves(found, metric, fixed)
        figures = summary(curves, [self.max_dets])
        for letter, those in columns.items():
            figures[f'AP{letter}'] = curves.average_precision(those)
        if self.classwise:
            cats = self.truth.cats
            values = curves.precision_of_categories()
            figures |= {
                f'AP/{cats[cat]["name"]}': float(values[i])
                for i, cat in enumerate(sorted(cats))
            }
        if not fixed:
            return {f'{metric}_{key}': v for key, v in figures.items()}
        return {
            f'{metric}_fixed_{key.split("@")[0]}': v
            for key, v in figures.items()
        }

    def log_table(self, figures: dict[str, float]) -> None:
        """Log AP and that of each frequency in percent."""
        ends = ('', '50', '75', 's', 'm', 'l', *FREQUENCIES)
        rows = [['', *(f'AP{end}' for end in ends)]]
        for key in figures:
            if key.endswith('_AP'):
                rows.append(
                    [key.removesuffix('_AP')]
                    + [percent(figures[key + end]) for end in ends]
                )
        MMLogger.get_current_instance().info('\n' + AsciiTable(rows).table)
