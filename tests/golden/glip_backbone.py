"""Run GLIP's image side, Swin and FPN of mmdet's, with published names."""

import torch
from cases import adapter, reference_state
from mmdet.registry import MODELS
from torch import nn

from mmclip.glip.layout import convert


@adapter('glip/swin_t_fpn', 'glip/swin_l_fpn')
@torch.no_grad()
def swin_fpn(meta: dict, arrays: dict) -> dict:
    """Convert the weights, then compute all stages and levels."""
    model = built(meta['config'])
    published = {
        f'backbone.{k}': torch.from_numpy(v)
        for k, v in reference_state(meta).items()
    }
    state, report = convert(published, model.state_dict())
    assert report.complete, list(report.lines())
    model.load_state_dict(state, strict=False)
    found = {}

    def first_stage(module, inputs, output):
        _, _, x, (height, width) = output
        found['tap_c2'] = x.transpose(1, 2).unflatten(2, (height, width))

    model['backbone'].stages[0].register_forward_hook(first_stage)
    stages = model['backbone'](torch.from_numpy(arrays['in_img']))
    for k, stage in enumerate(stages, 3):
        found[f'tap_c{k}'] = stage
    for k, level in enumerate(model['neck'](stages), 3):
        found[f'out_p{k}'] = level
    return {  # the case keeps some of the channels
        k: v[:, :: v.shape[1] // arrays[k].shape[1]]
        for k, v in found.items()
        if k in arrays
    }


def built(config: dict) -> nn.ModuleDict:
    """Build backbone and neck as the configs of GLIP do."""
    backbone = dict(
        type='mmdet.SwinTransformer',
        embed_dims=config['embed_dim'],
        depths=config['depths'],
        num_heads=config['num_heads'],
        window_size=config['window'],
        mlp_ratio=config['mlp_ratio'],
        out_indices=(1, 2, 3),
    )
    neck = dict(
        type='mmdet.FPN_DropBlock',
        in_channels=config['fpn_in'],
        out_channels=config['fpn_out'],
        relu_before_extra_convs=True,
        add_extra_convs='on_output',
        num_outs=5,
    )
    parts = dict(backbone=backbone, neck=neck)
    return nn.ModuleDict(
        {name: MODELS.build(part) for name, part in parts.items()}
    ).eval()
