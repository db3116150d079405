"""Wire regions, text classifier, teacher and class-agnostic boxes and masks.

B images, R sampled regions, N regions with a teacher, K names of the
vocabulary, D embedding width.
"""

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor

from mmclip.clip.phrases import runs_of_text, split_phrases
from mmclip.registry import MODELS
from mmclip.vild.base_names import BaseNames, novel_mask
from mmclip.vild.distillation_targets import (
    DistillationTargets,
    collect_targets,
)
from mmclip.vild.image_head import image_head_config
from mmclip.vild.levels import of_images
from mmclip.vild.score_fusion import Regions, name_probabilities
from mmclip.vild.suppression import suppress


@MODELS.register_module()
class ViLDRoIHead(StandardRoIHead):
    """mmdet's RoI head that learns from CLIP and whose names can change.

    ``bbox_head.cls_predictor_cfg`` must be an
    :class:`mmclip.vild.TextEmbeddingClassifier`; boxes and masks must be
    class-agnostic, or a new vocabulary would find no box for its names. A
    data sample with a field ``text`` (mmdet's contract: ``'cat . red car'``
    or a list of names) is answered in its own names, in
    ``pred_instances.label_names``.

    While it distils, every training image may carry ``distill_instances``
    (see :mod:`mmclip.vild.distillation_targets`). Regions of weight 0 are
    left out before they are pooled; the TF release sends its padding through
    the head, where it enters the batch statistics.

    Base and novel: names that the dataset or the caller declares novel are;
    without a declaration, those that had no boxes in the training that made
    the checkpoint. Source: ViLD paper, section 3, fig. 3.

    Args:
        image_head: The student. ``None``: nothing is distilled (ViLD-text).
            ``'shared'``: the box head (ViLD). A dict: a second box head
            (ViLD-ensemble), see :func:`mmclip.vild.image_head.\
image_head_config`; ``dict()`` is like ``bbox_head``, with weights of its own.
        loss_distill: Config of the distillation loss.
        joint_bn: Whether the box head sees R and N regions in one pass, so
            that they share batch statistics (the TF release), or one after
            the other (DetPro). Means something for ``'shared'`` alone.
        score_source: Config of a second source of scores (see
            :mod:`mmclip.vild.score_fusion`); a second head is one by itself.
        score_fusion: Config of the fusion of both.
        **kwargs: As for mmdet's StandardRoIHead. ``test_cfg.nms`` may also be
            a task util with a prefix, such as ``mmclip.TopFirstNMS``, called
            as ``nms(boxes (R, 4), scores (R, K), score_thr, max_per_img) ->
            (dets (M, 5), labels (M,), indices of regions (M,))``.

    Raises:
        ValueError: The classifier is another, boxes or masks are not
            class-agnostic, or there are two second sources of scores.
    """

    def __init__(
        self,
        *args,
        image_head: dict | str | None = None,
        loss_distill: dict | None = None,
        joint_bn: bool = True,
        score_source: dict | None = None,
        score_fusion: dict | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self._check_heads()
        self.base_names = BaseNames()
        self._novel: Tensor | None = None  # (K,), where it was declared
        self._novel_of: list[str] = []  # the K names then
        self._targets: DistillationTargets | None = None  # of this iteration
        self.joint_bn = joint_bn
        self.shares_head = image_head == 'shared'
        self.image_head = self._build_image_head(
            image_head, kwargs.get('bbox_head')
        )
        self.loss_distill = None
        if image_head is not None:
            self.loss_distill = MODELS.build(
                loss_distill or dict(type='mmclip.EmbeddingL1Loss')
            )
        if score_source and self.image_head is not None:
            raise ValueError(
                'the image head is a second source of scores already: give '
                'score_source or an image_head of its own, not both'
            )
        self.score_source = score_source and MODELS.build(score_source)
        self.score_fusion = None
        if self.score_source is not None or self.image_head is not None:
            self.score_fusion = MODELS.build(
                score_fusion or dict(type='mmclip.GeometricScoreFusion')
            )

    def _check_heads(self) -> None:
        if not hasattr(self.bbox_head.fc_cls, 'vocabulary'):
            raise ValueError(
                'ViLDRoIHead needs a text classifier, got '
                f'{type(self.bbox_head.fc_cls).__name__}: set bbox_head.'
                "cls_predictor_cfg=dict(type='mmclip.TextEmbeddingClassifier'"
                ', vocabulary=...)'
            )
        if not self.bbox_head.reg_class_agnostic or (
            self.with_mask and not self.mask_head.class_agnostic
        ):
            raise ValueError(
                'ViLDRoIHead replaces its names at test time, so boxes and '
                'masks cannot depend on the class: set bbox_head.'
                'reg_class_agnostic=True and mask_head.class_agnostic=True'
            )

    def _build_image_head(self, config, bbox_head: dict):
        if config is None or config == 'shared':
            return None
        if not isinstance(config, dict):
            raise ValueError(
                f"image_head is {config!r}, expected None, 'shared' or a dict"
            )
        return MODELS.build(
            image_head_config(config, bbox_head, self.embed_dims)
        )

    @property
    def vocabulary(self):
        """The :class:`mmclip.clip.Vocabulary` in use."""
        return self.bbox_head.fc_cls.vocabulary

    @property
    def embed_dims(self) -> int:
        """D, the width of region and text embeddings."""
        return self.bbox_head.fc_cls.project.out_features

    def set_vocabulary(self, vocabulary, names=None, novel=None) -> None:
        """Classify among other names from now on.

        Args:
            vocabulary: Names, ``{name: [phrases]}``, or embeddings (K, D);
                see :meth:`mmclip.clip.Vocabulary.set`.
            names: The names of embeddings.
            novel: Names without boxes in training, or a mask (K,); None:
                those that the checkpoint was not trained with.
        """
        self.vocabulary.set(vocabulary, names)
        self._follow_vocabulary()
        self.set_novel(novel)

    def set_novel(self, novel=None) -> None:
        """Declare names novel, as in :meth:`set_vocabulary`."""
        self._novel = None
        if novel is not None:
            self._novel_of = list(self.vocabulary.names)
            self._novel = novel_mask(self._novel_of, novel)

    @property
    def novel(self) -> Tensor:
        """Which names had no boxes in training, bool (K,)."""
        if self._novel is not None:
            return self._novel
        return self.base_names.novel_among(self.vocabulary.names)

    def _follow_vocabulary(self) -> None:
        """Tell mmdet's heads how many names there are: K is background."""
        heads = [self.bbox_head, self.image_head]
        if self.with_mask:
            heads.append(self.mask_head)
        for head in heads:
            if head is not None:
                head.num_classes = len(self.vocabulary)
        if self._novel_of != self.vocabulary.names:
            self._novel = None  # declared for names that are gone

    @contextmanager
    def speaking(self, text):
        """Answer in the names of ``text`` within the block."""
        if text is None:
            yield
            return
        kept = list(self.vocabulary.names), self.vocabulary.embeddings
        declared = self._novel
        self.set_vocabulary(split_phrases(text))
        try:
            yield
        finally:
            if kept[0]:
                self.set_vocabulary(kept[1], kept[0], declared)

    @contextmanager
    def distilling(self, samples: list):
        """Hold what the teacher said about ``samples`` within the block."""
        if self.loss_distill is not None:
            self._targets = collect_targets(samples, self.embed_dims)
            if not (self.shares_head and self.joint_bn):
                self._targets = self._targets.padded(samples[0].img_shape)
        try:
            yield
        finally:
            self._targets = None

    def loss(
        self,
        x: tuple[Tensor],
        rpn_results_list: list[InstanceData],
        batch_data_samples: list,
    ) -> dict:
        """Compute the losses; labels index the names of the vocabulary.

        Raises:
            ValueError: A label lies beyond the vocabulary or is a novel name
                that the loss leaves out, or the teacher is missing or of
                another width.
        """
        self._follow_vocabulary()
        masked = self._mask_novel()
        for sample in batch_data_samples:
            check_labels(
                sample.gt_instances.labels, self.vocabulary.names, masked
            )
        with self.distilling(batch_data_samples):
            return super().loss(x, rpn_results_list, batch_data_samples)

    def _mask_novel(self) -> Tensor | None:
        """Tell the loss what is novel; return the mask that it uses."""
        loss_cls, masked = self.bbox_head.loss_cls, None
        if getattr(loss_cls, 'novel_policy', None) is not None:
            loss_cls.set_novel(self._novel)
            masked = self._novel
        names = self.vocabulary.names
        if masked is not None:
            names = [
                n for n, novel in zip(names, masked.tolist()) if not novel
            ]
        self.base_names.set(names)
        return masked

    def bbox_loss(self, x: tuple[Tensor], sampling_results: list) -> dict:
        """Compute losses of classes, boxes and, where it distils, of that.

        See mmdet's StandardRoIHead; ``loss_distill`` is new.
        """
        if self._targets is None:
            return super().bbox_loss(x, sampling_results)
        rois = bbox2roi([res.priors for res in sampling_results])
        targets = self._targets
        feats = self._pool(x, torch.cat([rois, targets.rois.to(rois)]))
        own, distilled = feats.split([len(rois), len(targets.rois)])
        cls_score, bbox_pred, student = self.distill(own, distilled)
        losses = self.bbox_head.loss_and_target(
            cls_score=cls_score,
            bbox_pred=bbox_pred,
            rois=rois,
            sampling_results=sampling_results,
            rcnn_train_cfg=self.train_cfg,
        )['loss_bbox']
        losses['loss_distill'] = self.loss_distill(
            student, targets.embeddings, targets.weights
        )
        return dict(
            cls_score=cls_score,
            bbox_pred=bbox_pred,
            bbox_feats=own,
            loss_bbox=losses,
        )

    def _pool(self, x: tuple[Tensor], rois: Tensor) -> Tensor:
        """Return what the box head sees of ``rois`` (R, 5)."""
        extractor = self.bbox_roi_extractor
        feats = extractor(x[: extractor.num_inputs], rois)
        return self.shared_head(feats) if self.with_shared_head else feats

    def distill(
        self, own: Tensor, distilled: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the branches on sampled regions and on those with a teacher.

        Args:
            own: Features of sampled regions (R, C, h, w).
            distilled: Of regions with a teacher (N, C, h, w).

        Returns:
            Logits (R, K + 1), boxes (R, 4) and the student's unit embeddings
            (N, D).
        """
        if self.shares_head and self.joint_bn:
            embeddings, boxes = self.embed(torch.cat([own, distilled]))
            parts = [len(own), len(distilled)]
            embeddings, student = embeddings.split(parts)
            cls_score = self.bbox_head.fc_cls.classify(embeddings)
            return cls_score, boxes[: len(own)], student
        cls_score, boxes = self.bbox_head(own)
        if self.shares_head:
            student, _ = self.embed(distilled)
        else:
            student, _ = self.image_head(distilled)
        return cls_score, boxes, student

    def embed(self, feats: Tensor) -> tuple[Tensor, Tensor]:
        """Run the box head as far as the unit embeddings (R, D) and boxes."""
        with self.bbox_head.fc_cls.answering_embeddings():
            return self.bbox_head(feats)

    def second_scores(self, regions: Regions) -> Tensor | None:
        """Return the second source's probabilities (R, K), if there is one."""
        if self.image_head is not None:
            embeddings, _ = self.image_head(regions.roi_feats)
            temperature = self.image_head.fc_cls.temperature
            return name_probabilities(embeddings, regions.texts, temperature)
        if self.score_source is not None:
            return self.score_source(regions)
        return None

    def predict_bbox(
        self,
        x: tuple[Tensor],
        batch_img_metas: list[dict],
        rpn_results_list: list[InstanceData],
        rcnn_test_cfg,
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Detect boxes: classify, fuse scores, suppress.

        See mmdet's StandardRoIHead. Without ``rcnn_test_cfg`` boxes (R, 4)
        and scores (R, K + 1) are returned as they are.
        """
        self._follow_vocabulary()
        counts = [len(res.bboxes) for res in rpn_results_list]
        rois = bbox2roi([res.bboxes for res in rpn_results_list])
        if not len(rois):
            return super().predict_bbox(
                x, batch_img_metas, rpn_results_list, rcnn_test_cfg, rescale
            )
        found = self._bbox_forward(x, rois)
        results = self.bbox_head.predict_by_feat(
            rois.split(counts),
            found['cls_score'].split(counts),
            found['bbox_pred'].split(counts),
            batch_img_metas,
            rcnn_test_cfg=None,  # no suppression: the scores may be fused yet
            rescale=rescale,
        )
        other = self.second_scores(
            Regions(
                rois,
                found['bbox_feats'],
                x,
                batch_img_metas,
                self.vocabulary.embeddings,
            )
        )
        if other is not None:
            for result, scores in zip(results, other.split(counts)):
                self._fuse(result, scores)
        if rcnn_test_cfg is None:
            return results
        return [suppress(result, rcnn_test_cfg) for result in results]

    def _fuse(self, result: InstanceData, other: Tensor) -> None:
        """Fuse scores (R, K + 1) of an image with another source (R, K)."""
        fused = self.score_fusion(result.scores[:, :-1], other, self.novel)
        result.scores = F.pad(fused, (0, 1))  # the background has no say now

    def predict(
        self,
        x: tuple[Tensor],
        rpn_results_list: list[InstanceData],
        batch_data_samples: list,
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Detect; each result also has ``label_names``.

        Consecutive images with the same text share one pass.
        """
        self._follow_vocabulary()
        results = []
        for text, run in runs_of_text(batch_data_samples):
            part = slice(run.start, run.stop)
            with self.speaking(text):
                found = super().predict(
                    of_images(x, part),
                    rpn_results_list[part],
                    batch_data_samples[part],
                    rescale,
                )
                names = self.vocabulary.names
            for instances in found:
                instances.label_names = [
                    names[label] for label in instances.labels.tolist()
                ]
            results += found
        return results


def check_labels(
    labels: Tensor, names: list[str], masked: Tensor | None = None
) -> None:
    """Raise a ValueError where a label has no name, or no part in the loss."""
    if not len(labels):
        return
    if int(labels.max()) >= len(names):
        raise ValueError(
            f'a box has label {int(labels.max())} but the vocabulary has '
            f'{len(names)} names: the dataset has other classes; add '
            "dict(type='mmclip.VocabularyHook') to custom_hooks or give the "
            'same names to both'
        )
    if masked is not None and masked[labels.cpu()].any():
        label = int(labels.cpu()[masked[labels.cpu()]][0])
        raise ValueError(
            f"a box is labelled '{names[label]}', which is novel and has no "
            'part in the classification loss: train on base annotations '
            "alone (classes_of=('base', )), or set novel_policy=None to train "
            'with the boxes of all names'
        )
