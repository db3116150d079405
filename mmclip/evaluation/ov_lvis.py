"""LVIS average precision of rare, common and frequent classes.

LVIS is federated: an image says which classes were looked for, and the
frequency letter of a class stands in the annotation file. Rare classes are
ViLD's novel ones.
"""

import contextlib
import io
from collections import OrderedDict
from tempfile import TemporaryDirectory

from mmdet.evaluation.metrics import CocoMetric
from mmengine.fileio import load
from mmengine.logging import MMLogger

from mmclip.registry import METRICS


@METRICS.register_module()
class OVLVISMetric(CocoMetric):
    """LVIS's own measure, computed by hotcoco in seconds.

    mmdet's LVISMetric needs a ``lvis`` package that no longer runs on
    today's numpy, and takes minutes. Labels are matched to categories by the
    position in the dataset's ``category_ids``, never by name, since one name
    is spelled differently in LVIS's files and in mmdet.

    Args:
        ann_file: LVIS annotation file with ``frequency`` letters.
        metric: 'bbox', 'segm' or both.
        max_dets: Detections counted in an image, over all classes.
        **kwargs: As for mmdet's CocoMetric.
    """

    default_prefix = 'lvis'

    def __init__(
        self, ann_file: str, metric='segm', max_dets: int = 300, **kwargs
    ):
        super().__init__(metric=metric, **kwargs)
        wrong = set(self.metrics) - {'bbox', 'segm'}
        if wrong:
            raise ValueError(
                f"OVLVISMetric measures 'bbox' and 'segm', got {wrong}"
            )
        self.ann_file, self.max_dets = ann_file, max_dets

    def process(self, data_batch: dict, data_samples) -> None:
        """Keep the detections; the truth is read from ``ann_file``."""
        for sample in data_samples:
            sample.setdefault('instances', [])
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return AP, AP50, AP75, APs/m/l, APr, APc, APf and AR."""
        hotcoco = import_hotcoco()
        self.cat_ids = self.dataset_meta['category_ids']
        _, found = zip(*results)
        figures = OrderedDict()
        with TemporaryDirectory() as folder:
            files = self.results2json(
                found, self.outfile_prefix or f'{folder}/results'
            )
            if self.format_only:
                return figures
            truth = hotcoco.COCO(self.ann_file)
            for metric in self.metrics:
                figures.update(
                    self._measure(hotcoco, truth, load(files[metric]), metric)
                )
        MMLogger.get_current_instance().info(
            ', '.join(f'{k} {100 * v:.1f}' for k, v in figures.items())
        )
        return figures

    def _measure(self, hotcoco, truth, detections, metric: str) -> dict:
        if not detections:
            return {f'{metric}_AP': 0.0}
        if metric == 'segm':  # else areas would be those of the boxes
            for record in detections:
                record.pop('bbox', None)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator = hotcoco.COCOeval(
                truth, truth.load_res(detections), metric, lvis_style=True
            )
            evaluator.params.max_dets = [self.max_dets]
            evaluator.run()
        return {
            f'{metric}_{key}': float(value)
            for key, value in evaluator.get_results().items()
        }


def import_hotcoco():
    """Return the package hotcoco, or say how to get it."""
    try:
        import hotcoco
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'LVIS evaluation needs hotcoco: pip install "mmclip[lvis]"',
            name='hotcoco',
        ) from error
    return hotcoco
