"""The detection head of GLIP, on mmdet's ATSS.

B images, A anchors of all levels, L tokens, N boxes of an image, R rows of a
caption (ways to say a label).

Convention: inside, boxes are xyxy pixels of the network input with inclusive
ends (x2 = x1 + w - 1), and so are the boxes to be learnt
(``mmdet.GTBoxSubOne_GLIP`` in the pipeline). Predictions leave with exclusive
ends as everywhere in mmdet.
"""

from collections.abc import Sequence

import torch
from mmcv.ops import batched_nms
from mmdet.models.dense_heads import ATSSHead
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from mmclip.glip.scores import AGGREGATIONS, label_scores
from mmclip.glip.tower import VLDyHead
from mmclip.registry import MODELS


@MODELS.register_module()
class GLIPHead(ATSSHead):
    """Detect what a caption names (Li et al., CVPR 2022).

    Args:
        in_channels: Channels of the levels.
        feat_channels: Channels of the tower.
        language_dim: Width of the words.
        early_fuse: Whether image and words are fused (B, C, T, L: yes).
        num_dyhead_blocks: Blocks of the tower.
        fusion: See :class:`mmclip.glip.tower.VLDyHead`.
        text_layer: Likewise.
        dyconv: Likewise.
        trim_padding: Likewise.
        score_agg: How a label's tokens make its score: ``'mean'``,
            ``'max'`` or ``'power'``.
        rank_with_centerness: Whether the candidates of a level are ranked by
            score times centerness, as published, or by score alone, as in
            mmdet.
        num_classes: Unused, as classes come with captions.
        **kwargs: As for mmdet's ATSSHead.
    """

    def __init__(
        self,
        in_channels: int = 256,
        *,
        feat_channels: int = 256,
        language_dim: int = 768,
        early_fuse: bool = True,
        num_dyhead_blocks: int = 6,
        fusion: dict | None = None,
        text_layer: dict | None = None,
        dyconv: dict | None = None,
        trim_padding: bool = True,
        score_agg: str = 'mean',
        rank_with_centerness: bool = True,
        num_classes: int = 1,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        if score_agg not in AGGREGATIONS:
            raise ValueError(
                f"score_agg='{score_agg}': expected one of "
                f'{", ".join(AGGREGATIONS)}'
            )
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            feat_channels=feat_channels,
            init_cfg=init_cfg,
            **kwargs,
        )
        self.score_agg = score_agg
        self.rank_with_centerness = rank_with_centerness
        self.head = VLDyHead(
            in_channels,
            feat_channels,
            language_dim,
            num_levels=len(self.prior_generator.strides),
            num_dyhead_blocks=num_dyhead_blocks,
            early_fuse=early_fuse,
            fusion=fusion,
            text_layer=text_layer,
            dyconv=dyconv,
            num_base_priors=self.num_base_priors,
            trim_padding=trim_padding,
        )

    def _init_layers(self) -> None:
        """Leave ATSS's own layers out."""

    def forward(self, levels: Sequence[Tensor], language: dict) -> tuple:
        """Return logits, deltas and centerness; see :class:`VLDyHead`."""
        return self.head(levels, language)

    # ---- training ----

    def loss(
        self,
        levels: Sequence[Tensor],
        language: dict,
        batch_data_samples: list,
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            levels: (B, C, h, w), finest first.
            language: Of a language model.
            batch_data_samples: Each with ``gt_instances.bboxes`` and
                ``positive_maps``, the tokens of each box (N, L).
        """
        return self.loss_fused(
            *self.head.fuse(levels, language),
            language['masks'],
            batch_data_samples,
        )

    def loss_fused(
        self,
        levels: Sequence[Tensor],
        words: Tensor,
        text_masks: Tensor,
        batch_data_samples: list,
    ) -> dict[str, Tensor]:
        """Do the same from what the tower's ``fuse`` returns."""
        return self.loss_by_feat(
            *self.head.outputs(levels, words),
            [sample.gt_instances for sample in batch_data_samples],
            [sample.get('ignored_instances') for sample in batch_data_samples],
            text_masks=text_masks,
        )

    def loss_by_feat(
        self,
        logits: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_gt_instances_ignore: list | None = None,
        *,
        text_masks: Tensor,
    ) -> dict[str, Tensor]:
        """Compute the losses of outputs, all levels together."""
        sizes = [x.shape[-2:] for x in bbox_preds]
        logits = torch.cat(logits, dim=1)  # (B, A, L)
        deltas = torch.cat([rows_of(x, 4) for x in bbox_preds], dim=1)
        centre = torch.cat([rows_of(x, 1) for x in centernesses], dim=1)
        anchors, assigned = self.assign(
            sizes,
            batch_gt_instances,
            batch_gt_instances_ignore,
            logits.device,
        )
        positive = assigned >= 0  # (B, A)
        count = reduce_mean(positive.sum().float()).clamp(min=1)
        targets = token_targets(
            assigned, batch_gt_instances, logits.shape[2]
        ).to(logits)
        masks = text_masks[:, : logits.shape[2]].bool().to(logits.device)
        losses = dict(loss_cls=self.loss_cls(logits, targets, masks, count))
        image, anchor = positive.nonzero(as_tuple=True)
        truth = boxes_of(assigned, batch_gt_instances)  # of positives
        losses |= self.box_losses(
            anchors[anchor],
            deltas[image, anchor],
            centre[image, anchor, 0],
            truth,
            count,
        )
        return losses

    def box_losses(
        self,
        anchors: Tensor,
        deltas: Tensor,
        centre: Tensor,
        truth: Tensor,
        count: Tensor,
    ) -> dict[str, Tensor]:
        """Compute GIoU and centerness losses of P positive anchors.

        Args:
            anchors: Inclusive (P, 4).
            deltas: (P, 4).
            centre: Centerness logits (P,).
            truth: Inclusive boxes (P, 4).
            count: Positives of a rank on average.
        """
        if len(anchors):
            wanted = self.centerness_target(anchors, truth)
        else:
            wanted = centre.new_zeros(0)
        # a centre outside its box has no centerness; mmdet leaves it out too
        kept = ~wanted.isnan()
        wanted = wanted[kept]
        total = reduce_mean(wanted.sum()).clamp(min=1e-6)
        boxes = self.bbox_coder.decode(anchors[kept], deltas[kept].float())
        zero = deltas.sum() * 0 + centre.sum() * 0
        if not len(wanted):
            return dict(loss_bbox=zero, loss_centerness=zero)
        return dict(
            loss_bbox=self.loss_bbox(
                boxes, truth[kept], weight=wanted, avg_factor=1.0
            )
            / total,
            loss_centerness=self.loss_centerness(
                centre[kept], wanted, avg_factor=count
            ),
        )

    def centerness_target(self, anchors: Tensor, gts: Tensor) -> Tensor:
        """Return how central the anchors are in their boxes (P,)."""
        centre = (anchors[:, :2] + anchors[:, 2:]) / 2
        sides = torch.stack((centre - gts[:, :2], gts[:, 2:] - centre))
        near, far = sides.amin(dim=0), sides.amax(dim=0)  # (P, 2)
        return (near / far).prod(dim=1).sqrt()

    def assign(
        self, sizes, gt_instances, ignored, device
    ) -> tuple[Tensor, Tensor]:
        """Give every anchor a box of its image, or none.

        Args:
            sizes: (h, w) of each level.
            gt_instances: Inclusive ``bboxes`` of each image.
            ignored: Boxes that are neither found nor missed, or None.
            device: Where the result lies.

        Returns:
            Inclusive anchors (A, 4), and of each image and anchor the number
            of its box, -1 for none, (B, A).
        """
        levels = self.prior_generator.grid_priors(sizes, device=device)
        counts = [len(level) for level in levels]
        anchors = inclusive(torch.cat(levels))
        ignored = ignored or [None] * len(gt_instances)
        found = []
        for truth, left_out in zip(gt_instances, ignored):
            result = self.assigner.assign(
                InstanceData(priors=anchors),
                counts,
                as_tensors(truth),
                left_out,
            )
            found.append(result.gt_inds - 1)
        return anchors, torch.stack(found)

    # ---- inference ----

    def predict(
        self,
        levels: Sequence[Tensor],
        language: dict,
        token_rows: list[Tensor],
        row_labels: list[Sequence[int]],
        img_metas: list[dict],
        rescale: bool = True,
    ) -> list[InstanceData]:
        """Detect.

        Args:
            levels: (B, C, h, w), finest first.
            language: Of a language model.
            token_rows: Of each image bool (R, L).
            row_labels: Of each image the label of each row, R.
            img_metas: Of each image.
            rescale: Whether boxes are of the original image.

        Returns:
            Of each image ``bboxes``, ``scores`` and ``labels``, best first.
        """
        return self.predict_fused(
            *self.head.fuse(levels, language),
            token_rows,
            row_labels,
            img_metas,
            rescale,
        )

    def predict_fused(
        self,
        levels: Sequence[Tensor],
        words: Tensor,
        token_rows: list[Tensor],
        row_labels: list[Sequence[int]],
        img_metas: list[dict],
        rescale: bool = True,
    ) -> list[InstanceData]:
        """Do the same from what the tower's ``fuse`` returns."""
        outputs = self.head.outputs(levels, words)
        sizes = [x.shape[-2:] for x in outputs[1]]
        priors = self.prior_generator.grid_priors(
            sizes, dtype=outputs[1][0].dtype, device=outputs[1][0].device
        )
        priors = [inclusive(level) for level in priors]
        return [
            self.detect(
                [tuple(part[i] for part in level) for level in zip(*outputs)],
                priors,
                token_rows[i],
                torch.as_tensor(row_labels[i], dtype=torch.long),
                img_metas[i],
                rescale,
            )
            for i in range(len(img_metas))
        ]

    def detect(
        self,
        outputs: list[tuple[Tensor, Tensor, Tensor]],
        priors: list[Tensor],
        token_rows: Tensor,
        row_labels: Tensor,
        img_meta: dict,
        rescale: bool = True,
    ) -> InstanceData:
        """Detect in one image; see :meth:`predict`.

        Args:
            outputs: Of each level logits (h w, L), deltas (4, h, w) and
                centerness (1, h, w).
            priors: Of each level inclusive anchors (h w, 4).
            token_rows: bool (R, L).
            row_labels: (R,).
            img_meta: Of the image.
            rescale: Whether boxes are of the original image.
        """
        cfg = self.test_cfg
        known, columns = row_labels.unique(return_inverse=True)
        found = [
            self.candidates(*level, anchors, token_rows, columns)
            for level, anchors in zip(outputs, priors)
        ]
        boxes, deltas, scores, column = (torch.cat(x) for x in zip(*found))
        boxes = self.bbox_coder.decode(
            boxes, deltas.float(), max_shape=img_meta['img_shape']
        )
        if cfg.get('min_bbox_size', 0) > 0:
            large = (boxes[:, 2:] - boxes[:, :2] + 1).amin(dim=1)
            large = large >= cfg['min_bbox_size']
            boxes, scores = boxes[large], scores[large]
            column = column[large]
        # as published before boxes are rescaled, so +1 is an input pixel
        kept = suppressed(boxes, scores, column, cfg)
        results = InstanceData()
        results.bboxes = leaving(boxes[kept], img_meta, rescale)
        results.scores = scores[kept]
        results.labels = known.to(column.device)[column[kept]]
        return results

    def candidates(
        self,
        logits: Tensor,
        deltas: Tensor,
        centre: Tensor,
        anchors: Tensor,
        token_rows: Tensor,
        columns: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Choose the best (position, label) pairs of a level.

        Returns:
            Anchors and deltas (P, 4), scores (P,) and label columns (P,).
        """
        scores = label_scores(
            logits.sigmoid(), token_rows, columns, self.score_agg
        )  # (h w, K)
        centre = centre.flatten().sigmoid()[:, None]
        position, column = (scores > self.test_cfg['score_thr']).nonzero(
            as_tuple=True
        )
        joint = (scores * centre)[position, column]
        rank = joint
        if not self.rank_with_centerness:
            rank = scores[position, column]
        limit = self.test_cfg.get('nms_pre', -1)
        if 0 < limit < len(rank):
            best = rank.topk(limit).indices
            position, column = position[best], column[best]
            joint = joint[best]
        deltas = deltas.flatten(1).t()[position]
        return anchors[position], deltas, joint.sqrt(), column


def leaving(boxes: Tensor, img_meta: dict, rescale: bool) -> Tensor:
    """Turn inclusive boxes of the input into what mmdet expects."""
    if rescale:
        boxes = boxes / boxes.new_tensor(img_meta['scale_factor']).repeat(2)
    return torch.cat((boxes[:, :2], boxes[:, 2:] + 1), dim=1)


def suppressed(boxes: Tensor, scores: Tensor, labels: Tensor, cfg) -> Tensor:
    """Return which inclusive boxes stay after NMS of each label."""
    if not len(boxes):
        return torch.zeros(0, dtype=torch.long, device=boxes.device)
    _, kept = batched_nms(boxes, scores.float(), labels, dict(cfg['nms']))
    limit = cfg.get('max_per_img', -1)
    return kept[:limit] if limit > 0 else kept


def inclusive(anchors: Tensor) -> Tensor:
    """Take a pixel from right and bottom."""
    return torch.cat((anchors[:, :2], anchors[:, 2:] - 1), dim=1)


def rows_of(maps: Tensor, width: int) -> Tensor:
    """Return maps (B, A * width, h, w) as rows (B, h * w * A, width)."""
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1, width)


def as_tensors(instances: InstanceData) -> InstanceData:
    """Return boxes and labels alone, boxes as a plain tensor."""
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    return InstanceData(bboxes=boxes, labels=instances.labels)


def boxes_of(assigned: Tensor, gt_instances: list) -> Tensor:
    """Return the box of every positive anchor, in their order (P, 4)."""
    parts = [
        as_tensors(own).bboxes[row[row >= 0]]
        for row, own in zip(assigned, gt_instances)
    ]
    return torch.cat(parts)


def token_targets(assigned: Tensor, gt_instances: list, length: int) -> Tensor:
    """Return the tokens of every anchor, (B, A, length).

    A box without tokens among the first ``length`` has none.
    """
    targets = assigned.new_zeros(*assigned.shape, length, dtype=torch.float)
    for row, own, target in zip(assigned, gt_instances, targets):
        positive = row >= 0
        maps = own.positive_maps[:, :length].to(target)
        target[positive, : maps.shape[1]] = maps[row[positive]]
    return targets
