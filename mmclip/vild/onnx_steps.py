"""Write the steps of a detector without a branch, so that a trace holds all.

Each does for one image what a part of mmdet does for a batch.

A anchors of a level, P proposals kept, R regions, K names, M detections.

Convention: boxes are xyxy pixels of the image given, ends exclusive.
"""

import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn
from torchvision.ops import nms, roi_align

FAR = 1e6  # pixels; no image reaches as far
NMS_TYPES = ('nms', 'mmclip.TopFirstNMS', 'TopFirstNMS')
NMS_OPTIONS = {'type', 'iou_threshold', 'split_thr', 'first'}


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
