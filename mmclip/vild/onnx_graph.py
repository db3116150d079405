"""Write a detector's inference as one graph of plain tensor operations.

mmdet's own path from features to detections branches on what it finds, which
a trace cannot record; the steps here have no branch (``onnx_steps.py``).

One image. P proposals kept, R regions, K names, M detections, D embedding
width.

Convention: boxes are xyxy pixels of the image given, ends exclusive.
"""

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmengine.model import ImgDataPreprocessor
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmclip.vild.onnx_steps import (
    LevelwiseRoIAlign,
    PerClassNMS,
    Preprocess,
    Proposals,
    clip,
    clip_edges,
    nms_threshold,
)
from mmclip.vild.roi_head import ViLDRoIHead

MANY = 2**31 - 1
EXTRACTORS = ('bbox_roi_extractor', 'mask_roi_extractor')


class DetectorGraph(nn.Module):
    """The inference of a two-stage detector on one image of fixed size.

    Args:
        model: A detector of mmdet with :class:`mmclip.vild.ViLDRoIHead`. It
            is shared, and left in eval mode.
        size: Height and width of the image.

    Raises:
        ValueError: The model has a part whose graph is not known here, its
            vocabulary is empty, or ``size`` is no fixed size.
    """

    def __init__(self, model: nn.Module, size: tuple[int, int]):
        super().__init__()
        check_size(size)
        check_parts(model)
        self.model, self.size = model, tuple(size)
        self.eval()
        self.preprocess = Preprocess(model.data_preprocessor, self.size)
        with torch.no_grad():
            blank = torch.zeros(*self.size, 3, dtype=torch.uint8)
            levels = model.extract_feat(self.preprocess(blank))
        self.propose = Proposals(model.rpn_head, levels, self.size)
        self.config = model.roi_head.test_cfg
        self.iou_threshold = nms_threshold(self.config.nms)
        coder = model.roi_head.bbox_head.bbox_coder
        self.register_buffer('edges', clip_edges(coder, self.size), False)

    def forward(
        self, image: Tensor, text_embeddings: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Detect in an image.

        Args:
            image: uint8 (H, W, 3), RGB.
            text_embeddings: Names to answer in the place of the model's own,
                (K, D) of any length.

        Returns:
            Boxes (M, 4), scores (M,), labels (M,), best first, and where the
            model has a mask head, masks (M, 1, h, w): probabilities within
            the box.
        """
        roi_head = self.model.roi_head
        levels = self.model.extract_feat(self.preprocess(image))
        proposals, real = self.propose(levels)  # (P, 4), (P,)
        with (
            plain_extractors(roi_head),
            speaking(roi_head.vocabulary, text_embeddings),
        ):
            boxes, scores = self.classify(levels, proposals)
            scores = torch.where(real[:, None], scores, -1.0)
            region, label, found = self.suppress(boxes, scores)
            boxes = boxes[region]  # (M, 4)
            if not roi_head.with_mask:
                return boxes, found, label
            rois = F.pad(boxes, (1, 0))  # (M, 5), all of image 0
            masks = roi_head._mask_forward(levels, rois)['mask_preds']
        return boxes, found, label, masks.sigmoid()

    def classify(
        self, levels: tuple[Tensor, ...], proposals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return boxes (R, 4) and scores (R, K) before suppression.

        Without a test config the head returns what it has, fused with other
        scores where it fuses. Without ``img_shape`` it does not clip, as
        mmdet 3 cannot while a graph is exported.
        """
        (raw,) = self.model.roi_head.predict_bbox(
            levels,
            [dict(img_shape=None)],
            [InstanceData(bboxes=proposals)],
            rcnn_test_cfg=None,
        )
        return clip(raw.bboxes, self.edges), raw.scores[:, :-1]

    def suppress(
        self, boxes: Tensor, scores: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return region, label and score of each detection, best first.

        A name cannot give more detections than are kept of all names, which
        bounds the work whatever the threshold is.
        """
        wanted = self.config.max_per_img
        wanted = wanted if wanted > 0 else MANY
        picked = PerClassNMS.apply(
            boxes[None],
            scores.t()[None],
            wanted,
            self.iou_threshold,
            self.config.score_thr,
        )  # (M', 3): image, name, region
        # equal scores rank by region, then by name, as in mmdet
        flat = picked[:, 2] * scores.shape[1] + picked[:, 1]
        flat = flat.sort()[0]
        found, order = scores.reshape(-1)[flat].sort(descending=True)
        flat, found = flat[order][:wanted], found[:wanted]
        return flat // scores.shape[1], flat % scores.shape[1], found


@contextmanager
def plain_extractors(roi_head: nn.Module):
    """Let a RoI head pool regions without a branch within the block."""
    kept = {name: getattr(roi_head, name, None) for name in EXTRACTORS}
    kept = {name: one for name, one in kept.items() if one is not None}
    try:
        for name, extractor in kept.items():
            setattr(roi_head, name, LevelwiseRoIAlign(extractor))
        yield
    finally:
        for name, extractor in kept.items():
            setattr(roi_head, name, extractor)


@contextmanager
def speaking(vocabulary: nn.Module, embeddings: Tensor | None):
    """Let a vocabulary have other embeddings (K, D) within the block."""
    kept = vocabulary.embeddings
    try:
        if embeddings is not None:
            vocabulary.embeddings = embeddings
        yield
    finally:
        vocabulary.embeddings = kept


def check_size(size) -> None:
    """Raise a ValueError unless ``size`` is a height and a width."""
    sound = size is not None and len(size) == 2
    if not sound or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(
            f'size is {size}, expected a height and a width in pixels: the '
            'graph is for images of one size, since its anchors are '
            'constants; export one file a size, or resize and pad images'
        )


def check_parts(model: nn.Module) -> None:
    """Raise a ValueError for a model whose graph would be another."""
    roi_head = getattr(model, 'roi_head', None)
    expected = [
        ('roi_head', roi_head, ViLDRoIHead),
        ('rpn_head', getattr(model, 'rpn_head', None), RPNHead),
        ('data_preprocessor', model.data_preprocessor, ImgDataPreprocessor),
    ]
    for name in EXTRACTORS:
        extractor = getattr(roi_head, name, None)
        if extractor is not None:
            expected.append((name, extractor, SingleRoIExtractor))
    for name, part, kind in expected:
        if not isinstance(part, kind):
            raise ValueError(
                f'{name} is {type(part).__name__}, expected '
                f'{kind.__name__}: cascades, one-stage detectors and other '
                'extractors cannot be exported, only run in torch'
            )
        for layer in getattr(part, 'roi_layers', ()):
            if getattr(layer, 'pool_mode', None) != 'avg':
                raise ValueError(
                    f"{name} pools with {layer}, expected RoIAlign's "
                    "pool_mode='avg'"
                )
    if getattr(roi_head.score_source, 'needs_images', False):
        raise ValueError(
            f'{type(roi_head.score_source).__name__} cuts crops out of the '
            'image, which no graph of fixed sizes can: export with '
            'score_source=None, or run in torch'
        )
    device = next(model.parameters()).device
    if device.type != 'cpu':
        raise ValueError(
            f'the model is on {device}, expected the CPU: call model.cpu()'
        )
    if not len(roi_head.vocabulary):
        raise ValueError(
            'the vocabulary is empty, so there is nothing to export: load a '
            'checkpoint or call model.set_vocabulary(names) (--text)'
        )
