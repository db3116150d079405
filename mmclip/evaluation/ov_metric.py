"""What the metrics of open-vocabulary detectors share."""

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory

from mmdet.evaluation.metrics import CocoMetric
from mmengine.fileio import get_local_path, load
from mmengine.logging import MMLogger

from mmclip.evaluation.backends import choose_backend
from mmclip.evaluation.detections import Detections


class OVMetric(CocoMetric):
    """mmdet's CocoMetric, measured by hotcoco or by the references.

    Of CocoMetric it keeps how results are collected over ranks and written
    to files (``outfile_prefix``, ``format_only``). An image that two ranks
    have seen counts once; one that none has seen counts as nothing found.

    Args:
        ann_file: Annotation file; without it the ground truth is the
            ``instances`` of each sample.
        metric: 'bbox', 'segm' or both.
        classwise: Whether to report every class, too.
        backend: 'auto' (hotcoco where it is installed), 'hotcoco' or the
            reference implementation.
        **kwargs: As for mmdet's CocoMetric.

    Raises:
        ValueError: ``metric`` or an argument has no meaning here.
    """

    reference = 'pycocotools'

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | Sequence[str] = 'bbox',
        classwise: bool = False,
        backend: str = 'auto',
        **kwargs,
    ):
        metrics = [metric] if isinstance(metric, str) else list(metric)
        if wrong := set(metrics) - {'bbox', 'segm'}:
            raise ValueError(
                f"{type(self).__name__} measures 'bbox' and 'segm', got "
                f'{sorted(wrong)}: for proposals take '
                'mmclip.OVProposalRecall beside it'
            )
        for key in ('iou_thrs', 'metric_items', 'use_mp_eval'):
            if kwargs.get(key):
                raise ValueError(
                    f'{type(self).__name__} takes no {key}: it reports the '
                    "protocol's own figures, all of them"
                )
        super().__init__(metric=metrics, classwise=classwise, **kwargs)
        self.ann_file = ann_file
        self.backend = choose_backend(backend, self.reference)
        self._truth = None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep an image's detections, and its truth if no file holds it."""
        if self.ann_file is not None:
            for sample in data_samples:
                sample.setdefault('instances', [])
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the figures of every ``metric``; log them as a table."""
        unique = {found['img_id']: (true, found) for true, found in results}
        truths, found = zip(*numbered(unique))
        with TemporaryDirectory() as folder:
            prefix = self.outfile_prefix or str(Path(folder) / 'results')
            if self._truth is None:
                self._truth = self.open_truth(truths, prefix)
            self.cat_ids = self.category_ids()
            if self.outfile_prefix:
                self.results2json(found, prefix)
            if self.format_only:
                return {}
        self.check_images([result['img_id'] for result in found])
        figures = {}
        for metric in self.metrics:
            detections = Detections.from_results(found, self.cat_ids, metric)
            figures.update(self.measure(detections, metric))
        self.log_table(figures)
        return figures

    def open_truth(self, truths: Sequence[dict], prefix: str):
        """Read the ground truth from the file, or else from the samples."""
        if self.ann_file is None:
            content = load(self.gt_to_coco_json(truths, prefix))
            return self.backend.open({'annotations': [], **content})
        with get_local_path(
            self.ann_file, backend_args=self.backend_args
        ) as path:
            return self.backend.open(path)

    @property
    def truth(self):
        """The ground truth, read from ``ann_file`` when first asked for."""
        if self._truth is None:
            self._truth = self.open_truth((), '')
        return self._truth

    def check_images(self, seen) -> None:
        """Compare the images seen with those of the ground truth.

        Raises:
            ValueError: An image is not in the annotation file.
        """
        known = set(self.truth.imgs)
        if unknown := set(seen) - known:
            raise ValueError(
                f'{len(unknown)} of {len(seen)} images are not in '
                f'{self.ann_file}, such as id {min(unknown)}: the metric and '
                'the dataset need the same ann_file'
            )
        if len(seen) < len(known):
            MMLogger.get_current_instance().warning(
                f'{len(known) - len(seen)} of {len(known)} images were not '
                'run and count as nothing found'
            )

    def category_ids(self) -> list[int]:
        """Return the annotation file's id of each label."""
        raise NotImplementedError

    def measure(self, found: Detections, metric: str) -> dict[str, float]:
        """Return the figures of 'bbox' or 'segm', fractions."""
        raise NotImplementedError

    def log_table(self, figures: dict[str, float]) -> None:
        """Log the figures."""
        raise NotImplementedError


def numbered(results: dict) -> list[tuple[dict, dict]]:
    """Number images whose ids are no numbers: COCO's protocol wants them.

    Args:
        results: Truth and detections of each image by its id; Pascal VOC's
            ids are such as '2008_000001'.
    """
    if all(isinstance(image, Integral) for image in results):
        return list(results.values())
    return [
        (dict(truth, img_id=i), dict(found, img_id=i))
        for i, (truth, found) in enumerate(results.values(), 1)
    ]
