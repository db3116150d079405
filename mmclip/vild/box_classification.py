"""Name boxes whose place is known: how well does a head tell names apart?

Average precision mixes finding with naming and hides what a few novel boxes
could tell; here the true boxes are given and only the name is asked for
(mmclip/evaluation/naming.py counts the answers).

R boxes, K names.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mmclip.vild.score_fusion import Regions


@torch.no_grad()
def box_logits(model, inputs: Tensor, boxes: list[Tensor]) -> Tensor:
    """Score boxes of a batch against every name, the background left out.

    A head with two sources of scores is asked for what it detects with.

    Args:
        model: A two-stage detector of mmdet with a text classifier.
        inputs: Normalised images (B, 3, H, W).
        boxes: For each image its boxes (R_i, 4), xyxy pixels of ``inputs``.

    Returns:
        Logits (R, K), image by image; fused scores where there are two
        sources.
    """
    rois = torch.cat(
        [
            torch.cat([one.new_full((len(one), 1), i), one], dim=1)
            for i, one in enumerate(boxes)
        ]
    )  # (R, 5): image, xyxy
    head = model.roi_head
    names = len(head.vocabulary)
    if not len(rois):
        return inputs.new_zeros(0, names)
    features = model.extract_feat(inputs)
    found = head._bbox_forward(features, rois)
    logits = found['cls_score']  # (R, K + 1)
    metas = [dict(img_shape=tuple(inputs.shape[-2:]))] * len(boxes)
    other = head.second_scores(
        Regions(
            rois,
            found['bbox_feats'],
            features,
            metas,
            head.vocabulary.embeddings,
        )
    )
    if other is None:
        return logits[:, :names]
    text = logits.softmax(dim=1)[:, :names]
    return head.score_fusion(text, other, head.novel)


def dataset_logits(model, dataset) -> tuple[Tensor, Tensor]:
    """Score the true boxes of a dataset; crowds are left out.

    The test pipeline may resize images but neither crop nor flip them.

    Args:
        model: As in :func:`box_logits`, in eval mode.
        dataset: One of mmdet's, with annotations and its test pipeline.

    Returns:
        Logits (R, K) and labels (R,), on the CPU.

    Raises:
        ValueError: No image has a box.
    """
    parts = list(image_logits(model, dataset))
    if not any(len(labels) for _, labels in parts):
        raise ValueError(
            f'none of the {len(dataset)} images has a box of the classes '
            'wanted: check ann_file, base_classes and novel_classes'
        )
    logits, labels = zip(*parts)
    return torch.cat(logits).cpu(), torch.cat(labels)


def named_logits(
    model, dataset, names: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Return ``dataset_logits`` of the names wanted, (R, K) and (R,).

    Boxes of other classes are left out.
    """
    logits, labels = dataset_logits(model, dataset)
    order = [list(dataset.metainfo['classes']).index(name) for name in names]
    place = labels.new_full((logits.shape[1],), -1)
    place[order] = torch.arange(len(order))
    own = place[labels] >= 0
    return logits[own][:, order], place[labels[own]]


def image_logits(model, dataset) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each image's logits (R, K) and labels (R,)."""
    for index in range(len(dataset)):
        item = dataset[index]
        sample = item['data_samples']
        known = [
            box
            for box in dataset.get_data_info(index)['instances']
            if not box['ignore_flag']
        ]
        batch = model.data_preprocessor(
            dict(inputs=[item['inputs']], data_samples=[sample])
        )
        zoom = np.tile(sample.get('scale_factor', (1.0, 1.0)), 2)
        boxes = batch['inputs'].new_tensor(
            np.array([box['bbox'] for box in known]).reshape(-1, 4) * zoom
        )  # (R, 4)
        yield (
            box_logits(model, batch['inputs'], [boxes]),
            torch.tensor([box['bbox_label'] for box in known]).long(),
        )
