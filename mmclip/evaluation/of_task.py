"""Measure those samples of a mixed test that have one task."""

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric

from mmclip.registry import METRICS


@METRICS.register_module()
class OfTask(BaseMetric):
    """Let a metric see only the samples of its task.

    So a test set may be a ``ConcatDataset`` of several tasks, each measured
    by its own metric. Over ranks, samples of other tasks hold a place, so
    that mmengine gathers all.

    Args:
        task: As ``task`` of the samples.
        metric: Config of a metric, whose figures keep its prefix.
        collect_device: As in mmengine.
    """

    def __init__(
        self, task: str, metric: dict, collect_device: str = 'cpu'
    ) -> None:
        super().__init__(collect_device=collect_device)
        self.task = task
        self.metric = METRICS.build(metric)

    @property
    def dataset_meta(self) -> dict | None:
        """Return what the data set says of itself."""
        return self.metric.dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        self.metric.dataset_meta = meta

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keep what the metric makes of its samples."""
        for sample in data_samples:
            if sample.get('task') == self.task:
                self.metric.process(data_batch, [sample])
            self.results.append(list(self.metric.results))
            self.metric.results.clear()

    def compute_metrics(self, results: list) -> dict:
        """Return the metric's figures.

        Raises:
            ValueError: No sample had the task.
        """
        own = [one for sample in results for one in sample]
        if not own:
            raise ValueError(
                f"no sample of {len(results)} has the task '{self.task}': add "
                "a data set of it to the test, and 'task' to meta_keys"
            )
        figures = self.metric.compute_metrics(own)
        prefix = self.metric.prefix
        return {
            f'{prefix}/{k}' if prefix else k: v for k, v in figures.items()
        }
