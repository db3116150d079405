"""Run the golden cases of ViLD's heads, from TensorFlow and from DetPro."""

import json
import re

import numpy as np
import torch
import torch.nn.functional as F
from cases import CaseError, Measured, adapter, fill, reference_state
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import nn

from mmclip.clip.similarity import cosine_logits
from mmclip.data.ov_classes import COCO_BASE, COCO_NOVEL

YX = [1, 0, 3, 2]  # xyxy <-> yxyx, and the same for deltas
LAYER = re.compile(
    r'(?P<image>distill\.)?(?P<layer>conv|fc)_(?P<i>\d+)'
    r'(?P<bn>\.bn)?\.(?P<what>\w+)'
)


class StoredFeatures(nn.Module):
    """Stand in for the RoI extractor: region i has the stored features i."""

    num_inputs = 0

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, levels, rois):
        assert len(rois) == len(self.features)
        return self.features


def build(roi_head: dict, state: dict):
    """Build a RoI head and fill it; every entry must be used."""
    from mmclip.models import MISSING
    from mmclip.registry import MODELS

    if MISSING:
        raise CaseError(f'these models cannot be built: {MISSING}')
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = MODELS.build(ConfigDict(roi_head))
    own = {
        key: value
        for key, value in head.state_dict().items()
        if 'vocabulary' in key
        or 'base_names' in key
        or key.endswith('num_batches_tracked')
    }
    head.load_state_dict({**own, **state})
    return head


def roi_head_config(meta: dict, bbox_head: dict, **options) -> dict:
    """Complete what the cases leave open: no masks, extractor stored."""
    return dict(
        type='mmclip.ViLDRoIHead',
        bbox_roi_extractor=dict(
            type='mmclip.ViLDRoIExtractor',
            output_size=bbox_head['roi_feat_size'],
            out_channels=bbox_head['in_channels'],
            featmap_strides=[4],
        ),
        bbox_head=dict(reg_class_agnostic=True, **bbox_head),
        **options,
    )


def tensors(arrays: dict) -> dict:
    """Return the inputs as tensors, without their prefix."""
    return {
        key.removeprefix('in_'): torch.from_numpy(value)
        for key, value in arrays.items()
        if key.startswith('in_')
    }


class Taps:
    """Record what layers return."""

    def __init__(self):
        self.seen = {}

    def listen(self, name: str, module: nn.Module) -> None:
        """Keep each result of ``module``."""
        module.register_forward_hook(
            lambda module, args, result: self.seen.update(
                {name: result.detach().clone()}
            )
        )

    def listen_to_layers(self, prefix: str, head: nn.Module) -> None:
        """Keep convolutions, linear layers and projection of a head."""
        for i, conv in enumerate(head.shared_convs):
            self.listen(f'{prefix}conv_{i}', conv)
        for i, fc in enumerate(head.shared_fcs):
            self.listen(f'{prefix}fc_{i}', fc)
        self.listen(f'{prefix}projection', head.fc_cls.project)

    def like(self, arrays: dict) -> dict:
        """Return the taps of a case, with its strides."""
        ours = {}
        for key, theirs in arrays.items():
            if not key.startswith('tap_'):
                continue
            name = key.removeprefix('tap_')
            bare = name.removesuffix('_before_relu')
            if bare not in self.seen:
                continue  # then it is reported as not computed
            value = self.seen[bare]
            if re.search(r'(^|[._])fc_\d+$', bare):
                # DetPro's are named before_relu, but its ReLU works in place
                # and had overwritten them when they were stored: no entry is
                # below 0
                value = value.relu()
            ours[key] = strided(value, theirs.shape)
        return ours


def strided(value: torch.Tensor, shape: tuple) -> np.ndarray:
    """Take every n-th entry of each axis, as many as ``shape`` has."""
    value = value.detach().numpy()
    for axis, (have, want) in enumerate(zip(value.shape, shape)):
        value = value.take(range(0, have, -(-have // want)), axis=axis)
    return value


def detect(head, rois, height, width, cfg):
    """Run the whole test side on stored features, one image."""
    meta = dict(img_shape=(height, width), scale_factor=(1.0, 1.0))
    (found,) = head.predict_bbox(
        (), [meta], [InstanceData(bboxes=rois)], cfg and ConfigDict(cfg)
    )
    return found


# ---- TensorFlow ----


@adapter('vild/tf_head', 'vild/tf_ensemble_head')
def tf_head(meta: dict, arrays: dict) -> dict:
    """Text and image branch, boxes, scores, detections and losses."""
    given = tensors(arrays)
    head = tf_roi_head(meta, given)
    head.set_novel(given['rare_mask'][1:] == 0)
    with torch.no_grad():
        return {
            **tf_eval(head.eval(), meta, arrays, given),
            **tf_train(head.train(), given),
        }


def tf_roi_head(meta: dict, given: dict):
    """Build the case's head and fill it from the neutral names."""
    config = meta['config']
    names = [f'name {k}' for k in range(config['num_classes'] - 1)]
    channels, size = given['roi_feats'].shape[1:3]
    bbox_head = dict(
        type='mmclip.ViLDConvFCBBoxHead',
        in_channels=channels,
        roi_feat_size=size,
        num_classes=len(names),
        num_shared_convs=config['num_convs'],
        num_shared_fcs=config['num_fcs'],
        conv_out_channels=config['num_filters'],
        fc_out_channels=config['fc_dims'],
        norm_cfg=dict(type='BN', eps=config['bn_epsilon']),
        bbox_coder=dict(
            type='mmclip.ViLDBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]
        ),
        loss_cls=dict(
            type='mmclip.OpenVocabCrossEntropyLoss', novel_policy='zero'
        ),
        cls_predictor_cfg=dict(
            type='mmclip.TextEmbeddingClassifier',
            temperature=1 / config['temperature'],
            vocabulary=dict(
                type='mmclip.Vocabulary',
                names=names,
                embeddings=given['text'].numpy(),
            ),
        ),
    )
    branch = dict(
        vanilla='shared',
        double_branch=dict(temperature=1 / config['temperature']),
    ).get(config['visual_feature_distill'])
    options = {}
    if branch is not None:
        options = dict(
            image_head=branch,
            loss_distill=dict(type='mmclip.EmbeddingL1Loss', loss_weight=1.0),
        )
    return build(
        roi_head_config(meta, bbox_head, **options),
        tf_state(reference_state(meta)),
    )


def tf_state(state: dict) -> dict:
    """Rename the neutral names of a case."""
    ours = {}
    for name, value in state.items():
        value = torch.from_numpy(value)
        found = LAYER.fullmatch(name)
        if found:
            head = 'image_head' if found['image'] else 'bbox_head'
            part = f'{head}.shared_{found["layer"]}s.{found["i"]}'
            if found['layer'] == 'conv':
                part += '.bn' if found['bn'] else '.conv'
            else:
                part += '.1.norm' if found['bn'] else '.0'
            ours[f'{part}.{found["what"]}'] = value
        elif name == 'background':
            ours['bbox_head.fc_cls.background'] = value.flatten()
        elif name.startswith('box_predict.'):
            what = name.removeprefix('box_predict.')
            ours[f'bbox_head.fc_reg.{what}'] = value[YX]
        else:
            head = 'image_head' if 'distill' in name else 'bbox_head'
            what = name.removeprefix('distill.').removeprefix('projection.')
            ours[f'{head}.fc_cls.project.{what}'] = value
    return ours


def tf_eval(head, meta: dict, arrays: dict, given: dict) -> dict:
    """Compute everything of inference mode."""
    rois = given['rois_yxyx'][:, YX]
    feats = given['roi_feats'][: len(rois)]
    height, width = given['image_hw'].tolist()
    head.bbox_roi_extractor = StoredFeatures(feats)
    taps = Taps()
    taps.listen_to_layers('', head.bbox_head)
    if head.image_head is not None:
        taps.listen_to_layers('distill.', head.image_head)
    logits, deltas = head.bbox_head(feats)
    raw = detect(head, rois, height, width, None)
    ours = dict(
        out_logits=background_first(logits),
        out_bbox_pred=deltas[:, YX].numpy(),
        out_scores=raw.scores[:, :-1].numpy(),
        out_decoded_boxes_yxyx=raw.bboxes[:, YX].numpy(),
        **tf_detections(head, rois, height, width, meta),
        **taps.like(arrays),
    )
    if head.image_head is not None:
        embeddings, _ = head.image_head(feats)
        temperature = head.image_head.fc_cls.temperature
        texts = head.vocabulary.embeddings
        ours['out_distill_embeddings'] = embeddings.numpy()
        ours['out_distill_logits'] = cosine_logits(
            embeddings, texts, 1 / temperature
        ).numpy()
    return ours


def background_first(logits: torch.Tensor) -> np.ndarray:
    """Move the last column to the front."""
    return logits.roll(1, dims=1).numpy()


def tf_detections(head, rois, height, width, meta: dict) -> dict:
    """Return the best detections, padded with zeros as the release does."""
    post = meta['config']['postprocess']
    if len(rois) > post['pre_nms_num_boxes']:
        raise CaseError('more RoIs than are kept for each class before NMS')
    cfg = dict(
        score_thr=post['score_threshold'],
        nms=dict(type='nms', iou_threshold=post['nms_iou_threshold']),
        max_per_img=post['max_total_size'],
    )
    found = detect(head, rois, height, width, cfg)
    rest = post['max_total_size'] - len(found)
    return dict(
        out_det_boxes_yxyx=F.pad(found.bboxes[:, YX], (0, 0, 0, rest)).numpy(),
        out_det_scores=F.pad(found.scores, (0, rest)).numpy(),
        out_det_classes=F.pad(found.labels + 1, (0, rest)).numpy(),
        out_num_det=np.array(len(found)),
    )


def tf_train(head, given: dict) -> dict:
    """Compute everything of training mode."""
    count = len(given['rois_yxyx'])
    own, distilled = given['roi_feats'][:count], given['roi_feats'][count:]
    ours = {}
    if head.loss_distill is None:
        logits, deltas = head.bbox_head(own)
    else:
        logits, deltas, student = head.distill(own, distilled)
        valid = given['distill_rois_yxyx'].amax(dim=1) > 0
        ours['out_train_region_embeddings'] = student.numpy()
        ours['out_loss_distill'] = head.loss_distill(
            student, given['teacher_embeddings'], valid.float()
        ).numpy()
    names = logits.shape[1] - 1
    labels = (given['cls_targets'] - 1) % (names + 1)  # the background last
    loss_cls = head.bbox_head.loss_cls
    for name, novel in (('', head.novel), ('_no_mask', None)):
        loss_cls.set_novel(novel)
        ours[f'out_loss_cls{name}'] = loss_cls(logits, labels).numpy()
    return dict(
        ours,
        out_train_logits=background_first(logits),
        out_train_bbox_pred=deltas[:, YX].numpy(),
    )


# ---- DetPro ----


@adapter('vild/detpro_head')
def detpro_head(meta: dict, arrays: dict) -> dict:
    """Scores, detections and losses of mmdet's own box head."""
    given = tensors(arrays)
    head = detpro_roi_head(meta, given)
    novel = detpro_novel(meta, arrays)
    names = list(head.vocabulary.names)
    texts = head.vocabulary.embeddings
    head.set_novel(novel)
    with torch.no_grad():
        losses = {
            **detpro_losses(head.train(), meta, given, 'train'),
            **detpro_losses(norms_at_rest(head), meta, given, 'eval'),
        }
        kept = torch.tensor(
            sorted(set(range(len(names))) - removed_classes(meta))
        )
        # leaving a name out is what minus infinity before a softmax does
        head.set_vocabulary(texts[kept], [names[k] for k in kept], novel[kept])
        found = detpro_eval(head.eval(), meta, arrays, given, kept)
    mask = F.pad(novel, (0, 1)).numpy()
    return dict(losses, **found, out_novel_column_mask=mask)


def detpro_roi_head(meta: dict, given: dict):
    """Build the case's head, of mmdet's parts, and fill it."""
    config = meta['config']
    count, dims = config['num_classes'], config['embed_dim']
    table = fill('text_embeddings', (count, dims), meta['seed'])
    convs, fcs = re.match(
        r'(\d+) conv .* \+ (\d+) fc', config['head']
    ).groups()
    channels, size = given['roi_feats'].shape[1:3]
    bbox_head = dict(
        type='mmdet.ConvFCBBoxHead',
        num_shared_convs=int(convs),
        num_shared_fcs=int(fcs),
        in_channels=channels,
        roi_feat_size=size,
        num_classes=count,
        conv_out_channels=config['channels'],
        fc_out_channels=config['fc_out_channels'],
        norm_cfg=dict(type='BN'),
        bbox_coder=dict(
            type='mmdet.DeltaXYWHBBoxCoder',
            target_means=config['box_coder']['means'],
            target_stds=config['box_coder']['stds'],
        ),
        loss_bbox=dict(type='mmdet.L1Loss'),
        loss_cls=dict(type='mmclip.OpenVocabCrossEntropyLoss'),
        cls_predictor_cfg=dict(
            type='mmclip.TextEmbeddingClassifier',
            temperature=config['train_temperature'],
            test_temperature=config['test_temperature'],
            vocabulary=dict(
                type='mmclip.Vocabulary',
                names=[f'name {k}' for k in range(count)],
                embeddings=table,
            ),
        ),
    )
    options = dict(
        image_head='shared',
        joint_bn=False,
        loss_distill=dict(
            type='mmclip.EmbeddingL1Loss',
            loss_weight=config['kd_weight'] / dims,
        ),
    )
    if config['ensemble']:
        options['image_head'] = dict(temperature=config['test_temperature'])
        fixed = config['fixed_lambda']
        if fixed is not None:  # the share of the text, for all names
            options['score_fusion'] = dict(
                type='mmclip.GeometricScoreFusion',
                base=1 - fixed,
                novel=1 - fixed,
            )
    return build(
        roi_head_config(meta, bbox_head, **options),
        detpro_state(reference_state(meta)),
    )


def detpro_state(state: dict) -> dict:
    """Rename the entries of DetPro's checkpoint."""
    state = {name: torch.from_numpy(value) for name, value in state.items()}
    weight, bias = (
        state.pop(f'bg_embedding.{what}') for what in ('weight', 'bias')
    )
    ours = {'bbox_head.fc_cls.background': weight[:, 0] + bias}
    for name, value in state.items():
        head = 'image_head' if 'for_image' in name else 'bbox_head'
        name = name.replace('_for_image', '').removeprefix('bbox_head.')
        name = name.replace('projection.', 'fc_cls.project.')
        ours[f'{head}.{name}'] = value
    return ours


def coco_groups() -> tuple[set[int], set[int]]:
    """Return the base and the novel labels among COCO's 80 classes."""
    from mmdet.datasets import CocoDataset

    classes = CocoDataset.METAINFO['classes']
    return tuple(
        {classes.index(name) for name in names}
        for names in (COCO_BASE, COCO_NOVEL)
    )


def removed_classes(meta: dict) -> set[int]:
    """Return the labels that are in no group (COCO: 15)."""
    if not meta['config']['coco_setting']:
        return set()
    return set(range(meta['config']['num_classes'])) - set.union(
        *coco_groups()
    )


def detpro_novel(meta: dict, arrays: dict) -> torch.Tensor:
    """Return the names without boxes in training, bool (K,).

    For COCO from the split; for LVIS the case itself is the source.
    """
    if not meta['config']['coco_setting']:
        return torch.from_numpy(arrays['out_novel_column_mask'][:-1])
    base, _ = coco_groups()
    labels = range(meta['config']['num_classes'])
    return torch.tensor([label not in base for label in labels])


def norms_at_rest(head):
    """Return the head in training mode, but for its batch norms."""
    for module in head.train().modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return head


def detpro_losses(head, meta: dict, given: dict, mode: str) -> dict:
    """Compute the three losses; batch norm is as ``head`` has it."""
    state = {k: v.clone() for k, v in head.state_dict().items()}
    own, box_head = given['roi_feats'], head.bbox_head
    logits, deltas, student = head.distill(own, given['distill_roi_feats'])
    head.load_state_dict(state)  # running statistics as they were
    positives, count = len(given['pos_labels']), len(own)
    labels = torch.full((count,), logits.shape[1] - 1)
    labels[:positives] = given['pos_labels']
    rois, targets = given['rois_xyxy'], torch.zeros(count, 4)
    targets[:positives] = box_head.bbox_coder.encode(
        rois[:positives], given['pos_gt_boxes_xyxy']
    )
    head._mask_novel()
    losses = box_head.loss(
        logits,
        deltas,
        F.pad(rois, (1, 0)),
        labels,
        torch.ones(count),
        targets,
        (labels < logits.shape[1] - 1)[:, None].expand(-1, 4).float(),
    )
    kd_loss = head.loss_distill(student, given['teacher_embeddings'])
    return {
        f'out_{mode}_loss_bbox': losses['loss_bbox'].numpy(),
        f'out_{mode}_text_cls_loss': losses['loss_cls'].numpy(),
        f'out_{mode}_kd_loss': kd_loss.numpy(),
    }


def detpro_eval(head, meta: dict, arrays: dict, given: dict, kept) -> dict:
    """Compute everything of inference mode; labels are those of all names."""
    height, width = meta['config']['image_hw']
    rois, feats = given['rois_xyxy'], given['roi_feats']
    head.bbox_roi_extractor = StoredFeatures(feats)
    taps = Taps()
    taps.listen_to_layers('', head.bbox_head)
    if head.image_head is not None:
        taps.listen_to_layers('image_', head.image_head)
    _, deltas = head.bbox_head(feats)
    raw = detect(head, rois, height, width, None)
    every = torch.zeros(len(rois), meta['config']['num_classes'] + 1)
    every[:, F.pad(kept, (0, 1), value=every.shape[1] - 1)] = raw.scores
    found = detect(head, rois, height, width, meta['config']['test_cfg'])
    return dict(
        out_scores=strided(every, arrays['out_scores'].shape),
        out_bbox_pred=deltas.numpy(),
        out_decoded_boxes_xyxy=raw.bboxes.numpy(),
        out_det_boxes_scores=torch.cat(
            [found.bboxes, found.scores[:, None]], dim=1
        ).numpy(),
        out_det_labels=kept[found.labels].numpy(),
        **taps.like(arrays),
    )


# ---- the released checkpoints ----


@adapter('vild/tf_checkpoint_variables')
def tf_checkpoint_variables(meta: dict, arrays: dict) -> dict:
    """Convert a checkpoint of these names and shapes into our recipe of it."""
    ours = {}
    for variant in meta['config']['variants']:
        listed = json.loads(bytes(arrays[f'data_{variant}_json']))
        report = converted(dict(listed))
        for what in ('absent', 'homeless', 'unused'):
            count = len(getattr(report, what))
            ours[f'{variant}_{what}'] = Measured(count, 0)
        left = len(listed) - len(report.steps) - len(report.skipped)
        ours[f'{variant}_not_converted'] = Measured(left, 0)
    return ours


def converted(shapes: dict):
    """Convert ones of all shapes; a shape that does not fit is an error."""
    from mmengine.config import Config

    from mmclip.jobs import find_config
    from mmclip.vild.convert import build_model, convert, recipe_for, set_names
    from mmclip.vild.tf_variables import TEXTS

    variables = {k: np.ones(shape, np.float32) for k, shape in shapes.items()}
    cfg = Config.fromfile(find_config(recipe_for(list(variables))))
    model = build_model(cfg)
    names = [f'name {k}' for k in range(variables[TEXTS].shape[1])]
    set_names(model.roi_head, variables, names, [])
    own = {k: v.numpy() for k, v in model.state_dict().items()}
    return convert(variables, own)[1]
