"""Ask how many of a dataset's objects its proposals reach."""

import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric

from mmclip.vild.proposals import Proposals


def measure_recall(
    proposals: Proposals, dataset: BaseDataset, metric: BaseMetric
) -> dict:
    """Give proposals to a metric as if a detector had just found them.

    Args:
        proposals: Of ``dataset``'s images.
        dataset: With annotations of all classes that are asked about.
        metric: A class-agnostic one, such as ``mmclip.OVProposalRecall``.

    Returns:
        What the metric returns.
    """
    metric.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        boxes, scores = map(torch.from_numpy, proposals.of(info['img_id']))
        found = dict(
            bboxes=boxes, scores=scores, labels=torch.zeros(len(boxes)).long()
        )
        sample = dict(
            img_id=info['img_id'],
            ori_shape=(info['height'], info['width']),
            instances=info['instances'],
            pred_instances=found,
        )
        metric.process({}, [sample])
    return metric.evaluate(len(dataset))
