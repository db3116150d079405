"""Write a detector's inference as one graph of plain tensor operations.

mmdet's own path from features to detections branches on what it finds, which
a trace cannot record; here the same steps have no branch.

One image. A anchors of a level, P proposals kept, R regions, K names, M
detections, D embedding width.

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
from torchvision.ops import nms, roi_align

from mmclip.vild.roi_head import ViLDRoIHead

FAR = 1e6  # pixels; no image reaches as far
MANY = 2**31 - 1
EXTRACTORS = ('bbox_roi_extractor', 'mask_roi_extractor')
NMS_TYPES = ('nms', 'mmclip.TopFirstNMS', 'TopFirstNMS')
NMS_OPTIONS = {'type', 'iou_threshold', 'split_thr', 'first'}


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


class Preprocess(nn.Module):
    """What the data preprocessor does to one image, from uint8 RGB.

    mmdet's pipelines load BGR; a model that does not turn it to RGB gets BGR
    here too.
    """

    def __init__(self, preprocessor: nn.Module, size: tuple[int, int]):
        super().__init__()
        turned = preprocessor._channel_conversion
        self.order = [0, 1, 2] if turned else [2, 1, 0]
        mean, std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
        if preprocessor._enable_normalize:
            mean, std = preprocessor.mean, preprocessor.std
        self.register_buffer('mean', mean, False)
        self.register_buffer('std', std, False)
        step = preprocessor.pad_size_divisor
        self.padding = (0, -size[1] % step, 0, -size[0] % step)
        self.pad_value = preprocessor.pad_value

    def forward(self, image: Tensor) -> Tensor:
        """Turn uint8 (H, W, 3) into network input (1, 3, H', W')."""
        pixels = image.permute(2, 0, 1)[self.order].float()
        pixels = (pixels - self.mean) / self.std
        return F.pad(pixels, self.padding, value=self.pad_value)[None]


class Proposals(nn.Module):
    """What mmdet's RPN finds in the features of one image.

    Args:
        rpn_head: An RPNHead with its test config.
        levels: Features of an image of this size.
        size: Height and width of the image.
    """

    def __init__(
        self,
        rpn_head: nn.Module,
        levels: tuple[Tensor, ...],
        size: tuple[int, int],
    ):
        super().__init__()
        self.head, self.config = rpn_head, rpn_head.test_cfg
        self.iou_threshold = nms_threshold(self.config.nms)
        shapes = [level.shape[-2:] for level in levels]
        priors = rpn_head.prior_generator.grid_priors(
            shapes, device=levels[0].device
        )
        for i, anchors in enumerate(priors):
            anchors = getattr(anchors, 'tensor', anchors)  # (A, 4)
            self.register_buffer(f'anchors{i}', anchors, False)
        edges = clip_edges(rpn_head.bbox_coder, size)
        self.register_buffer('edges', edges, False)

    def forward(self, levels: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return proposals (P, 4), and which of them are no padding (P,).

        P is ``max_per_img``: later steps need a count that does not depend on
        the image.
        """
        found = [
            self.of_level(i, score[0], delta[0])
            for i, (score, delta) in enumerate(zip(*self.head(levels)))
        ]
        scores, boxes, level_ids = map(torch.cat, zip(*found))
        boxes = clip(boxes, self.edges)
        least = self.config.get('min_bbox_size', -1)
        if least >= 0:
            sides = boxes[:, 2:] - boxes[:, :2]
            large = (sides > least).all(dim=1).nonzero().squeeze(1)
            scores, boxes = scores[large], boxes[large]
            level_ids = level_ids[large]
        # as mmcv separates levels, so that rounding is the same; the extra
        # row gives an empty list a maximum
        reach = torch.cat([boxes, boxes.new_zeros(1, 4)]).max() + 1
        apart = boxes + (level_ids * reach)[:, None]
        count = self.config.max_per_img
        best = nms(apart, scores, self.iou_threshold)[:count]
        real = torch.ones_like(best, dtype=torch.bool)
        padded = F.pad(boxes[best], (0, 0, 0, count))[:count]
        return padded.reshape(count, 4), F.pad(real, (0, count))[:count]

    def of_level(
        self, index: int, score: Tensor, delta: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best scores of a level, their boxes and the level."""
        scores = score.permute(1, 2, 0).reshape(-1, self.head.cls_out_channels)
        if self.head.use_sigmoid_cls:
            scores = scores.sigmoid()[:, 0]  # (A,)
        else:
            scores = scores.softmax(dim=-1)[:, 0]
        coder = self.head.bbox_coder
        deltas = delta.permute(1, 2, 0).reshape(-1, coder.encode_size)
        anchors = getattr(self, f'anchors{index}')
        if 0 < self.config.get('nms_pre', -1) < len(anchors):
            scores, best = scores.topk(self.config.nms_pre)
            deltas, anchors = deltas[best], anchors[best]
        boxes = coder.decode(anchors, deltas)
        boxes = getattr(boxes, 'tensor', boxes)
        return scores, boxes, torch.full_like(scores, index)


class LevelwiseRoIAlign(nn.Module):
    """mmdet's SingleRoIExtractor without a branch on what a level holds."""

    def __init__(self, extractor: SingleRoIExtractor):
        super().__init__()
        self.extractor = extractor
        self.num_inputs = extractor.num_inputs

    def forward(self, levels: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """Pool regions (R, 5) into (R, C, h, w), each from its level."""
        layers = self.extractor.roi_layers
        if len(levels) == 1:
            return align(layers[0], levels[0], rois)
        level_of = self.extractor.map_roi_levels(rois, len(levels))  # (R,)
        parts, places = [], []
        for i, (layer, level) in enumerate(zip(layers, levels)):
            there = (level_of == i).nonzero().squeeze(1)
            parts.append(align(layer, level, rois[there]))
            places.append(there)
        back = torch.cat(places).sort()[1]  # undo the grouping by level
        return torch.cat(parts)[back]


def align(layer: nn.Module, level: Tensor, rois: Tensor) -> Tensor:
    """Do what mmcv's RoIAlign does, with torchvision's.

    The graph that mmcv writes of its own shifts aligned regions twice from
    opset 16 on.
    """
    return roi_align(
        level,
        rois,
        layer.output_size,
        layer.spatial_scale,
        layer.sampling_ratio,
        layer.aligned,
    )


class PerClassNMS(torch.autograd.Function):
    """ONNX's NonMaxSuppression, which knows names; torchvision's does not."""

    @staticmethod
    def forward(
        ctx,
        boxes: Tensor,
        scores: Tensor,
        most: int,
        iou_threshold: float,
        score_thr: float,
    ) -> Tensor:
        """Return image, name and region of what stays (M, 3).

        Args:
            ctx: Not used.
            boxes: (1, R, 4).
            scores: (1, K, R).
            most: The most that are kept of a name, best first.
            iou_threshold: A region goes when its IoU with a better one is
                above this.
            score_thr: Scores have to be above it.
        """
        rows = []
        for name, own in enumerate(scores[0]):
            above = (own > score_thr).nonzero().squeeze(1)
            kept = above[nms(boxes[0, above], own[above], iou_threshold)]
            row = torch.zeros(len(kept[:most]), 3, dtype=torch.long)
            row[:, 1], row[:, 2] = name, kept[:most]
            rows.append(row)
        return torch.cat(rows)

    @staticmethod
    def symbolic(g, boxes, scores, most, iou_threshold, score_thr):
        """Write the same as one node."""
        return g.op(
            'NonMaxSuppression',
            boxes,
            scores,
            g.op('Constant', value_t=torch.tensor([most])),
            g.op('Constant', value_t=torch.tensor([float(iou_threshold)])),
            g.op('Constant', value_t=torch.tensor([float(score_thr)])),
        )


def clip(boxes: Tensor, edges: Tensor) -> Tensor:
    """Keep boxes (N, 4) within ``edges``, the largest box there is (4,)."""
    low = torch.cat([edges[:2], edges[:2]])
    high = torch.cat([edges[2:], edges[2:]])
    return torch.minimum(torch.maximum(boxes, low), high)


def clip_edges(coder, size: tuple[int, int]) -> Tensor:
    """Ask a box coder where it clips: the largest box it gives (4,)."""
    all_of_it = torch.tensor([[-FAR, -FAR, FAR, FAR]])
    box = coder.decode(all_of_it, torch.zeros(1, 4), max_shape=size)
    return getattr(box, 'tensor', box)[0]


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
    if not len(roi_head.vocabulary):
        raise ValueError(
            'the vocabulary is empty, so there is nothing to export: load a '
            'checkpoint or call model.set_vocabulary(names) (--text)'
        )


def nms_threshold(config: dict) -> float:
    """Return the IoU threshold of a test config's ``nms``.

    Raises:
        ValueError: It asks for more than suppression within each name.
    """
    kind, unknown = config.get('type', 'nms'), set(config) - NMS_OPTIONS
    if kind not in NMS_TYPES or unknown:
        raise ValueError(
            f'test_cfg has nms={dict(config)}, expected '
            "dict(type='nms', iou_threshold=...): soft or class-agnostic "
            'suppression and further options cannot be exported'
        )
    return config.get('iou_threshold', 0.5)
