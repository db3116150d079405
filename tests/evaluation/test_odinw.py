import pytest
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS as ROOT

from mmclip.registry import EVALUATOR


class Given(BaseMetric):
    """Average what the samples say."""

    def process(self, data_batch, data_samples):
        self.results += [s['value'] for s in data_samples]

    def compute_metrics(self, results):
        if None in results:
            return {}
        return dict(bbox_mAP=sum(results) / len(results), bbox_mAP_50=1.0)


def figures(*values, **kwargs):
    """Evaluate data sets that are given as lists of values."""
    names = [f'set{k}' for k in range(len(values))]
    ends = [sum(map(len, values[: k + 1])) for k in range(len(values))]
    with ROOT.switch_scope_and_registry('mmengine'):
        metrics = [Given(prefix='coco') for _ in values]
    evaluator = EVALUATOR.build(
        dict(
            type='mmclip.ODinWMeanAP',
            metrics=metrics,
            dataset_prefixes=names,
            **kwargs,
        )
    )
    evaluator.dataset_meta = dict(cumulative_sizes=ends)
    samples = [dict(value=v) for own in values for v in own]
    evaluator.process(samples, {})
    return evaluator.evaluate(len(samples))


def test_mean_and_median_are_over_the_data_sets():
    found = figures([0.1, 0.3], [0.9], [0.4, 0.4, 0.4])
    assert found['set0/coco/bbox_mAP'] == pytest.approx(0.2)
    assert found['odinw/mean_mAP'] == pytest.approx(0.5)
    assert found['odinw/median_mAP'] == pytest.approx(0.4)


def test_one_data_set_and_another_figure():
    found = figures([0.5], key='bbox_mAP_50', prefix='odinw13')
    assert found['odinw13/mean_mAP_50'] == 1


def test_a_data_set_without_detection_or_truth_counts_zero():
    assert figures([0.4], [None])['odinw/mean_mAP'] == pytest.approx(0.2)
    assert figures([0.4], [-1.0])['odinw/mean_mAP'] == pytest.approx(0.2)


def test_a_figure_that_does_not_exist_is_told():
    with pytest.raises(KeyError, match="no figure 'segm_mAP'"):
        figures([0.4], key='segm_mAP')
