"""Run GLIPv2's inter-image region-word loss through mmclip."""

import numpy as np
import torch
from cases import CaseError, adapter, reference_state
from ranks import run_ranks

from mmclip.glip.losses import InterImageRegionWordLoss

NAMES = {
    'shallow_log_scale': 'log_scale',
    'shallow_contrastive_projection_image': 'region_projection',
    'shallow_contrastive_projection_text': 'word_projection',
}


def loss_of(meta: dict) -> InterImageRegionWordLoss:
    """Build the case's loss and fill it."""
    config = meta['config']
    if not config['zero_pads']:
        raise CaseError('random padding has no result to compare')
    module = InterImageRegionWordLoss(
        hidden_dim=config['hidden_dim'],
        max_regions=config['max_positive_anchors'],
        loss_weight=config['loss_weight'],
        official_quirks=True,
    )
    state = {}
    for name, value in reference_state(meta).items():
        head, _, tail = name.partition('.')
        state['.'.join(filter(None, [NAMES[head], tail]))] = torch.as_tensor(
            np.asarray(value)
        )
    module.load_state_dict(state)
    return module


def anchors_of(config: dict) -> list[torch.Tensor]:
    """Return the anchors of each level, inclusive xyxy (h * w, 4)."""
    levels = []
    sides = zip(config['levels'], config['strides'], config['anchor_sizes'])
    for (height, width), stride, size in sides:
        y, x = torch.meshgrid(
            torch.arange(height), torch.arange(width), indexing='ij'
        )
        corner = torch.stack((x, y), dim=-1) * stride + (stride - size) / 2
        corner = corner.reshape(-1, 2)
        levels.append(torch.cat((corner, corner + size - 1), dim=1))
    return levels


def assign(config: dict, boxes, counts: list[int]) -> torch.Tensor:
    """Return the box of each anchor, -1 for background, (B, A)."""
    from mmdet.models.task_modules import ATSSAssigner
    from mmengine.structures import InstanceData

    assigner = ATSSAssigner(
        topk=config['topk'],
        iou_calculator=dict(type='mmdet.BboxOverlaps2D_GLIP'),
    )
    levels = anchors_of(config)
    sizes = [len(level) for level in levels]
    priors = InstanceData(priors=torch.cat(levels))
    found = []
    for own in boxes.split(counts):
        labels = torch.zeros(len(own), dtype=torch.long)
        truth = InstanceData(bboxes=own, labels=labels)
        result = assigner.assign(priors, sizes, truth)
        found.append(result.gt_inds - 1)
    return torch.stack(found)


def inputs_of(config: dict, arrays: dict) -> dict:
    """Return the arguments of the loss, levels with gradients."""
    data = {k: torch.from_numpy(np.asarray(v)) for k, v in arrays.items()}
    counts = data['in_num_gt'].tolist()
    levels = sorted(k for k in data if k.startswith('in_p'))
    return dict(
        features=[data[k].requires_grad_() for k in levels],
        words=data['in_words'],
        masks=data['in_text_masks'],
        assigned=assign(config, data['in_boxes'], counts),
        box_tokens=data['in_box_token_map'].split(counts),
        box_classes=data['in_od_labels'].split(counts),
        token_classes=data['in_od_label_of_token'],
    )


def regions_of(arrays: dict, assigned: torch.Tensor) -> tuple:
    """Return image and anchor of the case's regions.

    Raises:
        CaseError: One of them is not positive.
    """
    counts = torch.from_numpy(arrays['out_num_used'])
    image = torch.arange(len(counts)).repeat_interleave(counts)
    anchor = torch.from_numpy(arrays['out_used_anchors'])
    if (assigned[image, anchor] < 1).any():
        raise CaseError('it used anchors that no box but the first has')
    return image, anchor


def compute(meta: dict, arrays: dict) -> dict:
    """Return loss and gradients of one rank."""
    module, inputs = loss_of(meta), inputs_of(meta['config'], arrays)
    image, anchor = module.choose(inputs['assigned'])
    sampled = len(anchor) > 0 and bool(
        ((inputs['assigned'] > 0).sum(1) > module.max_regions).any()
    )
    if sampled:  # at random: take the regions that the case took
        image, anchor = regions_of(arrays, inputs['assigned'])
        module.choose = lambda assigned: (image, anchor)
    loss = module(**inputs)
    loss.backward()
    grad = module.region_projection.weight.grad
    return dict(
        out_loss=loss.detach(),
        out_assigned_gt=inputs['assigned'],
        out_used_anchors=anchor,
        out_num_used=torch.bincount(image, minlength=len(arrays['in_words'])),
        out_grad_proj_image=grad[:, ::4],
        out_grad_proj_text=module.word_projection.weight.grad[:, ::8],
        out_grad_log_scale=module.log_scale.grad,
        out_grad_p1=inputs['features'][1].grad[:, ::2],
    )


def rank_work(meta: dict, arrays: dict, rank: int) -> dict:
    """Return a rank's results as arrays."""
    own = {
        key.removeprefix(f'rank{rank}_'): value
        for key, value in arrays.items()
        if key.startswith(f'rank{rank}_') or not key.startswith('rank')
    }
    found = compute(meta, own)
    return {k: np.asarray(v) for k, v in found.items() if k in own}


@adapter('glip/v2_inter_image_contrastive')
def contrast(meta: dict, arrays: dict) -> dict:
    """Compute loss and gradients, in as many processes as the case had."""
    world = meta['config']['world_size']
    if world == 1:
        return compute(meta, arrays)
    ranked = run_ranks(rank_work, (meta, arrays), world)
    return {
        f'rank{rank}_{key}': value
        for rank, found in enumerate(ranked)
        for key, value in found.items()
    }
