"""GLIPv2: GLIP with masks, words of other images, and hidden words.

B images, N boxes, L tokens, A anchors.
"""

import zlib
from collections.abc import Sequence

import torch
from mmdet.structures.bbox import bbox2roi
from mmdet.structures.mask import mask_target
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmclip.glip.detector import GLIPDetector
from mmclip.glip.grounding import Grounding
from mmclip.glip.token_maps import label_of_token
from mmclip.registry import MODELS


@MODELS.register_module()
class GLIPv2Detector(GLIPDetector):
    """Detect, cut out and ground with one model (Zhang et al., 2022).

    Each part may be left out. Masks are learnt on the true boxes; the
    released code, which nothing trained, samples proposals.

    Args:
        mask_roi_extractor: Config of mmdet's extractor, over the fused
            levels.
        mask_head: Config of a :class:`mmclip.glip.mask_head.VLMaskHead`.
        contrast_loss: Config of an ``mmclip.InterImageRegionWordLoss``,
            on levels and words before the fusion.
        masked_word_head: Config of an ``mmclip.MaskedWordHead``; needs
            ``masked_words`` from ``mmclip.MaskWords``.
        max_masks: Boxes of a batch that masks are learnt from.
        **kwargs: As for :class:`mmclip.glip.detector.GLIPDetector`;
            ``test_cfg.mask_thr_binary`` (0.5) is the mask's threshold.
    """

    def __init__(
        self,
        *args,
        mask_roi_extractor: dict | None = None,
        mask_head: dict | None = None,
        contrast_loss: dict | None = None,
        masked_word_head: dict | None = None,
        max_masks: int = 100,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if bool(mask_head) != bool(mask_roi_extractor):
            raise ValueError(
                'mask_head and mask_roi_extractor go together: give both or '
                'neither'
            )
        parts = dict(
            mask_roi_extractor=mask_roi_extractor,
            mask_head=mask_head,
            contrast_loss=contrast_loss,
            masked_word_head=masked_word_head,
        )
        for name, part in parts.items():
            setattr(self, name, MODELS.build(part) if part else None)
        self.max_masks = max_masks

    def other_losses(
        self,
        levels: Sequence[Tensor],
        language: dict,
        fused: tuple,
        grounded: list[Grounding],
        samples: list,
    ) -> dict[str, Tensor]:
        """Compute the losses of the parts that there are."""
        found = {}
        if self.mask_head is not None:
            found['loss_mask'] = self.mask_losses(fused, samples)
        if self.contrast_loss is not None:
            found['loss_contrast'] = self.contrast(
                levels, language, grounded, samples
            )
        if self.masked_word_head is not None:
            hidden = [sample.get('masked_words') or [] for sample in samples]
            found['loss_mlm'] = self.masked_word_head.loss(fused[1], hidden)
        return found

    # ---- masks ----

    def mask_losses(self, fused: tuple, samples: list) -> Tensor:
        """Compute the loss of masks in the true boxes that have words.

        Images without masks, such as those of phrases, count nothing.
        """
        levels, words = fused
        truths = [sample.gt_instances for sample in samples]
        truths = [own if 'masks' in own else own[:0] for own in truths]
        boxes = [exclusive(truth) for truth in truths]
        rois = bbox2roi(boxes)  # (N, 5)
        rows = torch.cat([truth.positive_maps for truth in truths])
        kept = rows.any(dim=1).nonzero().flatten()
        if len(kept) > self.max_masks:
            order = torch.randperm(len(kept), device=kept.device)
            kept = kept[order[: self.max_masks]]
        logits = self.mask_logits(levels, words, rois[kept], rows[kept])
        if not len(kept):
            return self.mask_head.mask_loss(logits, None)
        size = ConfigDict(mask_size=logits.shape[-2:], soft_mask_target=False)
        targets = mask_target(
            boxes,
            [torch.arange(len(own), device=rois.device) for own in boxes],
            [truth.get('masks') for truth in truths],
            size,
        )
        return self.mask_head.mask_loss(logits, targets[kept])

    def mask_logits(
        self, levels: Sequence[Tensor], words: Tensor, rois: Tensor, rows
    ) -> Tensor:
        """Return mask logits (N, 1, S, S) of regions (N, 5)."""
        count = self.mask_roi_extractor.num_inputs
        regions = self.mask_roi_extractor(levels[:count], rois)
        return self.mask_head(regions, words, rois[:, 0].long(), rows)

    def detect_fused(
        self,
        fused: tuple,
        grounded: list[Grounding],
        metas: list[dict],
        rescale: bool,
    ) -> list[InstanceData]:
        """Detect, and cut out what was found."""
        if self.mask_head is None:
            return super().detect_fused(fused, grounded, metas, rescale)
        results = super().detect_fused(fused, grounded, metas, False)
        rois = bbox2roi([found.bboxes for found in results])
        rows = torch.cat(
            [
                self.rows_of(found.labels, one, fused[1].shape[1])
                for found, one in zip(results, grounded)
            ]
        ).to(rois.device)
        logits = self.mask_logits(*fused, rois, rows)
        counts = [len(found) for found in results]
        return [
            self.with_masks(found, own, meta, rescale)
            for found, own, meta in zip(results, logits.split(counts), metas)
        ]

    def rows_of(
        self, labels: Tensor, grounding: Grounding, length: int
    ) -> Tensor:
        """Return the tokens of labels, bool (N, length)."""
        tokens = grounding.token_map(self.tokenizer, length)  # (R, L)
        owners = torch.tensor(grounding.labels, dtype=torch.long)
        same = labels.cpu()[:, None] == owners
        return (same.float() @ tokens.float()) > 0

    def with_masks(
        self, found: InstanceData, logits: Tensor, meta: dict, rescale: bool
    ) -> InstanceData:
        """Paste masks into the picture, and rescale boxes if asked."""
        scale = 1.0
        if rescale:
            scale = found.bboxes.new_tensor(meta['scale_factor']).repeat(2)
        pixel = found.bboxes.new_tensor([0, 0, 1, 1])
        found.bboxes = (found.bboxes - pixel) / scale + pixel
        size = meta['ori_shape' if rescale else 'img_shape']
        threshold = (self.test_cfg or {}).get('mask_thr_binary', 0.5)
        self.mask_head.predict_by_feat(
            [logits],
            [found],
            [dict(meta, ori_shape=size, scale_factor=(1.0, 1.0))],
            ConfigDict(mask_thr_binary=threshold),
            rescale=False,
        )
        return found

    # ---- words of other images ----

    def contrast(
        self,
        levels: Sequence[Tensor],
        language: dict,
        grounded: list[Grounding],
        samples: list,
    ) -> Tensor:
        """Compute the loss between regions and words of all images."""
        truths = [sample.gt_instances for sample in samples]
        _, assigned = self.bbox_head.assign(
            [level.shape[2:] for level in levels],
            truths,
            None,
            levels[0].device,
        )
        length = language['masks'].shape[1]
        classes = [
            class_numbers(sample, one)
            for sample, one in zip(samples, grounded)
        ]
        named = [
            label_of_token(
                one.token_map(self.tokenizer, length),
                [own[label] for label in one.labels],
            )
            for own, one in zip(classes, grounded)
        ]
        device = assigned.device
        boxes = [
            torch.tensor(own + [-1], device=device)[truth.labels]
            for own, truth in zip(classes, truths)
        ]
        return self.contrast_loss(
            levels,
            language['embedded'],
            language['masks'],
            assigned,
            [truth.positive_maps for truth in truths],
            boxes,
            torch.stack(named).to(device),
        )


def exclusive(truth: InstanceData) -> Tensor:
    """Return boxes with exclusive ends (N, 4)."""
    boxes = getattr(truth.bboxes, 'tensor', truth.bboxes)
    return boxes + boxes.new_tensor([0, 0, 1, 1])


def class_numbers(sample, grounding: Grounding) -> list[int]:
    """Number an image's labels, alike for equal names; -1 for phrases.

    Names of a class list are classes; on every rank the same name has the
    same number.
    """
    names = sample.get('row_names')
    if names is None and sample.get('tokens_positive') is None:
        names = grounding.names
    if names is None:
        return [-1] * len(grounding.names)
    return [zlib.crc32(name.strip().lower().encode()) for name in names]
