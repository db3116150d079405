"""Run GLIP's targets, losses and post-processing through mmclip."""

import numpy as np
import torch
from cases import adapter
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from ranks import run_ranks

from mmclip.glip.head import GLIPHead, inclusive
from mmclip.glip.scores import row_scores
from mmclip.glip.token_losses import TokenFocalLoss, binary_focal


def head_of(config: dict, **kwargs) -> GLIPHead:
    """Build a head as small as can be; only its methods are used."""
    first = config['anchor_sizes'][0] // config['strides'][0]
    return GLIPHead(
        16,
        feat_channels=16,
        language_dim=16,
        early_fuse=False,
        num_dyhead_blocks=1,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=first,
            scales_per_octave=1,
            strides=config['strides'],
            center_offset=0.5,
        ),
        bbox_coder=dict(type='mmclip.GLIPBBoxCoder'),
        loss_cls=dict(type='mmclip.TokenFocalLoss'),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=2.0),
        train_cfg=ConfigDict(
            assigner=dict(
                type='mmdet.ATSSAssigner',
                topk=9,
                iou_calculator=dict(type='mmdet.BboxOverlaps2D_GLIP'),
            ),
            allowed_border=-1,
            pos_weight=-1,
        ),
        **kwargs,
    )


def outputs_of(given: dict, width: int) -> tuple[list, list, list]:
    """Return logits of ``width`` tokens, deltas and centerness."""
    count = sum(k.startswith('in_logits') for k in given)
    logits = []
    for k in range(count):
        stored = given[f'in_logits{k}']
        full = torch.zeros(*stored.shape[:2], width)
        full[..., : stored.shape[2]] = stored
        logits.append(full)
    boxes = [given[f'in_bbox{k}'].clone() for k in range(count)]
    centre = [given[f'in_ctr{k}'].clone() for k in range(count)]
    for tensor in (*logits, *boxes, *centre):
        tensor.requires_grad_()
    return logits, boxes, centre


@adapter('glip/atss_token_loss')
def losses(meta: dict, arrays: dict) -> dict:
    """Do it in as many processes as the case had."""
    world = len({k.split('_')[0] for k in arrays if k.startswith('rank')})
    if not world:
        return rank_losses(meta, arrays)
    ranked = run_ranks(rank_work, (meta, arrays), world)
    return {
        f'rank{rank}_{key}': value
        for rank, found in enumerate(ranked)
        for key, value in found.items()
    }


def rank_work(meta: dict, arrays: dict, rank: int) -> dict:
    """Return a rank's results as arrays."""
    own = {
        key.removeprefix(f'rank{rank}_'): value
        for key, value in arrays.items()
        if key.startswith(f'rank{rank}_') or not key.startswith('rank')
    }
    found = rank_losses(meta, own)
    return {k: np.asarray(v) for k, v in found.items() if k in own}


def rank_losses(meta: dict, arrays: dict) -> dict:
    """Assign, and compute losses and gradients."""
    config = meta['config']
    given = {k: torch.from_numpy(v) for k, v in arrays.items()}
    head = head_of(config)
    counts = given['in_num_gt'].tolist()
    truths = [
        InstanceData(
            bboxes=boxes,
            labels=torch.zeros(len(boxes), dtype=torch.long),
            positive_maps=maps,
        )
        for boxes, maps in zip(
            given['in_boxes'].split(counts),
            given['in_positive_map'].split(counts),
        )
    ]
    logits, boxes, centre = outputs_of(given, config['tokens'])
    found = head.loss_by_feat(
        logits,
        boxes,
        centre,
        truths,
        text_masks=given['in_text_masks'],
    )
    sum(found.values()).backward()
    sizes = [b.shape[-2:] for b in boxes]
    ours = targets(head, sizes, truths, config['tokens'])
    width = given['in_logits0'].shape[2]
    ours['out_token_targets_pos'] = ours['out_token_targets_pos'][:, :width]
    for k in range(len(boxes)):
        ours[f'out_grad_bbox{k}'] = boxes[k].grad
        ours[f'out_grad_ctr{k}'] = centre[k].grad
    ours['out_grad_logits0'] = logits[0].grad[:, ::5, :width]
    ours['out_grad_logits2'] = logits[2].grad[..., :width]
    ours['out_loss_token'] = found['loss_cls'].detach()
    ours['out_loss_reg'] = found['loss_bbox'].detach()
    ours['out_loss_centerness'] = found['loss_centerness'].detach()
    return ours | focal(given)


def targets(head, sizes, truths, tokens: int) -> dict:
    """Return what every anchor is to learn."""
    from mmclip.glip.head import boxes_of, token_targets

    anchors, assigned = head.assign(sizes, truths, None, 'cpu')
    positive = assigned >= 0
    priors = anchors[positive.nonzero()[:, 1]]
    truth = boxes_of(assigned, truths)
    return dict(
        out_anchors=anchors,
        out_assigned_gt=assigned,
        out_token_targets_pos=token_targets(assigned, truths, tokens)[
            positive
        ],
        out_reg_targets_pos=head.bbox_coder.encode(priors, truth),
        out_centerness_targets_pos=head.centerness_target(priors, truth),
    )


def focal(given: dict) -> dict:
    """Compute the three focal losses, where the case has them."""
    if 'in_focal_logits' not in given:
        return {}
    logits, target, masks = (
        given[f'in_focal_{k}'] for k in ('logits', 'targets', 'mask')
    )
    ours = {
        f'out_focal_{name}': TokenFocalLoss(kind)(logits, target, masks)
        for name, kind in (
            ('binary', 'sigmoid'),
            ('softmax', 'softmax'),
            ('binaryv2', 'unmasked'),
        )
    }
    if 'out_focal_binary_elementwise' in given:
        ours['out_focal_binary_elementwise'] = binary_focal(
            logits, target, 0.25, 2.0
        )
    return ours


@adapter('glip/postprocess')
@torch.no_grad()
def postprocess(meta: dict, arrays: dict) -> dict:
    """Detect from given outputs, by head and by detection."""
    config = meta['config']
    given = {k: torch.from_numpy(v) for k, v in arrays.items()}
    head = head_of(
        config,
        score_agg=config['score_agg'].lower(),
        test_cfg=ConfigDict(
            nms_pre=config['pre_nms_top_n'],
            score_thr=config['score_thr'],
            nms=dict(type='nms', iou_threshold=config['nms_thr'], offset=1),
            max_per_img=config['max_per_img'],
        ),
    )
    rows = torch.zeros(config['num_classes'], config['tokens'])
    for label, tokens in config['positive_map'].items():
        rows[int(label) - 1, tokens] = 1
    outputs = outputs_of(given, config['tokens'])
    sizes = [b.shape[-2:] for b in outputs[1]]
    priors = [
        inclusive(level)
        for level in head.prior_generator.grid_priors(sizes, device='cpu')
    ]
    found = head.detect(
        [tuple(part[0] for part in level) for level in zip(*outputs)],
        priors,
        rows.bool(),
        torch.arange(len(rows)),
        dict(img_shape=config['image_hw']),
        rescale=False,
    )
    ours = dict(
        out_boxes=found.bboxes - found.bboxes.new_tensor([0, 0, 1, 1]),
        out_scores=found.scores,
        out_labels=found.labels + 1,
    )
    words = given['in_logits2'][0].sigmoid()
    for agg in ('mean', 'max', 'power'):
        scores = row_scores(words, rows.bool(), agg)[None]
        for name in (
            f'out_scores2_{agg.upper()}',
            f'out_v2scores2_{agg.upper()}',
        ):
            if name in given:
                ours[name] = scores
    return ours
