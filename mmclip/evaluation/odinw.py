"""Object detection in the wild: the mean over many small data sets."""

from collections.abc import Sequence

import numpy as np
from mmdet.evaluation.evaluator import MultiDatasetsEvaluator
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmclip.evaluation.curves import percent
from mmclip.registry import EVALUATOR


@EVALUATOR.register_module()
class ODinWMeanAP(MultiDatasetsEvaluator):
    """Evaluate each data set by itself, then take mean and median.

    ODinW (GLIP, sec. 5.2; ELEVATER for 35 data sets). Adds ``odinw/mean_mAP``
    and ``odinw/median_mAP`` to the figures of mmdet's
    ``MultiDatasetsEvaluator``. A data set in which nothing was detected, for
    which CocoMetric gives no figure, counts as 0.

    Args:
        metrics: One metric a data set.
        dataset_prefixes: Names of the data sets, in the same order.
        key: The end of the figure that is averaged.
        prefix: First part of the new names.
    """

    def __init__(
        self,
        metrics,
        dataset_prefixes: Sequence[str],
        key: str = 'bbox_mAP',
        prefix: str = 'odinw',
    ) -> None:
        super().__init__(metrics, dataset_prefixes)
        self.key = key
        self.prefix = prefix

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the figures of all data sets, mean and median."""
        figures = super().evaluate(size)
        each = {
            name: of_dataset(figures, name, self.key)
            for name in self.dataset_prefixes
        }
        figures |= {
            f'{self.prefix}/{kind}_{self.key.removeprefix("bbox_")}': value
            for kind, value in mean_and_median(list(each.values())).items()
        }
        rows = [['data set', self.key]]
        rows += [[name, percent(value)] for name, value in each.items()]
        rows += [
            [k, percent(v)]
            for k, v in mean_and_median(list(each.values())).items()
        ]
        MMLogger.get_current_instance().info('\n' + AsciiTable(rows).table)
        return figures


def of_dataset(figures: dict, name: str, key: str) -> float:
    """Return a data set's figure; 0 where it has none.

    Raises:
        KeyError: It has figures, but none of that name.
    """
    own = {k: v for k, v in figures.items() if k.startswith(f'{name}/')}
    found = [v for k, v in own.items() if k.rsplit('/', 1)[-1] == key]
    if own and not found:
        raise KeyError(
            f"the data set '{name}' has no figure '{key}', but {list(own)[:5]}"
        )
    return max(float(found[0]), 0.0) if found else 0.0


def mean_and_median(values: Sequence[float]) -> dict[str, float]:
    """Return both."""
    return dict(mean=float(np.mean(values)), median=float(np.median(values)))
