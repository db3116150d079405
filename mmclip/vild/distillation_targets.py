"""Collect what the teacher said about the regions of a batch.

Contract with whatever supplies the teacher: ``data_sample.distill_instances``
is an ``InstanceData`` with ``bboxes`` (N, 4) in xyxy pixels of the network
input, ``embeddings`` (N, D) of any length and precision, and ``weights``
(N,), where weight 0 means: leave this row out (the region is not in the
picture any more).

N regions of all images that count, D embedding width.
"""

from dataclasses import dataclass

import torch
from mmdet.structures.bbox import bbox2roi, get_box_tensor
from torch import Tensor

LEAST = 2  # batch norm cannot take one region alone
FIELD = 'distill_instances'


@dataclass
class DistillationTargets:
    """The regions to distil and what the teacher makes of them.

    Attributes:
        rois: (N, 5), index of the image and xyxy pixels.
        embeddings: (N, D) float32, unit rows.
        weights: (N,); 0 only for rows that :meth:`padded` added.
    """

    rois: Tensor
    embeddings: Tensor
    weights: Tensor

    def padded(self, img_shape: tuple[int, int]) -> 'DistillationTargets':
        """Return at least two regions, the first image for each that lacks.

        So a pass of its own always reaches every parameter and, under
        synchronised batch norm, every process.

        Args:
            img_shape: Height and width of the first image.
        """
        lacking = LEAST - len(self.rois)
        if lacking <= 0:
            return self
        height, width = img_shape
        whole = self.rois.new_tensor([[0, 0, 0, width, height]])
        return DistillationTargets(
            torch.cat([self.rois, whole.expand(lacking, -1)]),
            torch.nn.functional.pad(self.embeddings, (0, 0, 0, lacking)),
            torch.nn.functional.pad(self.weights, (0, lacking)),
        )


def collect_targets(samples: list, embed_dims: int) -> DistillationTargets:
    """Gather the rows that count from the data samples of a batch.

    Args:
        samples: Data samples.
        embed_dims: D of the vocabulary.

    Raises:
        ValueError: No sample has ``distill_instances``, the embeddings are
            of another width, or a row is no direction.
    """
    given = [getattr(sample, FIELD, None) for sample in samples]
    if all(instances is None for instances in given):
        raise ValueError(
            'this model distils but no image of the batch has '
            f'{FIELD}: add the step that loads the teacher embeddings of the '
            'proposals to the training pipeline and keep the field when '
            'packing, or set image_head=None to train ViLD-text'
        )
    like = next(i for i in given if i is not None)
    device = get_box_tensor(like.bboxes).device
    boxes, embeddings, weights = [], [], []
    for sample, instances in zip(samples, given):
        if instances is None:
            boxes.append(torch.zeros(0, 4, device=device))
            continue
        check_width(instances.embeddings, embed_dims)
        counted = instances.weights > 0
        boxes.append(get_box_tensor(instances.bboxes)[counted].float())
        rows = instances.embeddings[counted].float()
        embeddings.append(unit_rows(rows, sample.get('img_id')))
        weights.append(instances.weights[counted].float())
    return DistillationTargets(
        bbox2roi(boxes), torch.cat(embeddings), torch.cat(weights)
    )


def check_width(embeddings: Tensor, embed_dims: int) -> None:
    """Raise a ValueError where embeddings (N, D) are of another CLIP."""
    if embeddings.ndim != 2 or embeddings.shape[1] != embed_dims:
        raise ValueError(
            f'the teacher embeddings have shape {tuple(embeddings.shape)} but '
            f'the vocabulary is {embed_dims} wide: both must come from one '
            'CLIP; extract the embeddings with the CLIP of the vocabulary'
        )


def unit_rows(rows: Tensor, image_id) -> Tensor:
    """Make rows (N, D) unit length.

    Raises:
        ValueError: A row is not finite, or zero.
    """
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    bad = ~(lengths.isfinite() & (lengths > 0))
    if bad.any():
        row = int(bad.flatten().nonzero()[0])
        raise ValueError(
            f'row {row} of the teacher embeddings of image {image_id!r} has '
            f'length {float(lengths[row])}, expected a direction: the teacher '
            'is broken or its cache is damaged; check its weights, delete the '
            'cache and run extract_embeddings again'
        )
    return rows / lengths
