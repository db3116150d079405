"""Run LSeg's golden cases through mmclip."""

import re
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from cases import CaseError, Measured, adapter, reference_state
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmclip.clip.segmentor import OpenVocabEncoderDecoder
from mmclip.lseg.cosines import pixel_norms
from mmclip.lseg.layout import convert, network_state, our_name
from mmclip.lseg.multi_scale import multi_scale_scores
from mmclip.lseg.zero_shot_metric import zero_shot_iou

BLOCKS = {1: 'bottleneck', 2: 'depthwise'}


@adapter('lseg/forward')
def forward(meta: dict, arrays: dict) -> dict:
    """Segment an image into given text embeddings."""
    model = build(meta)
    texts = arrays['in_text_features']
    model.set_vocabulary(texts, numbered(len(texts)))
    image = torch.from_numpy(arrays['in_image'])
    with torch.no_grad(), watch(model) as seen:
        scores = model(image)
        if hasattr(model.backbone, 'positions'):
            grid = model.backbone.grid(image)
            seen['tap_pos_embed_resized'] = model.backbone.positions(grid)
    with torch.no_grad():
        halved = scores_in_half(model, seen['tap_image_features'], image)
    ours = {
        **seen,
        'out_logits': scores,
        'out_label': scores.argmax(dim=1).to(torch.uint8),
        'out_logits_fp16': halved,
    }
    ours = {k: cut(ours[k], k, meta) for k in ours if k in arrays}
    return with_stated_limits(ours, meta, arrays)


@adapter('lseg/train')
def train(meta: dict, arrays: dict) -> dict:
    """Take the loss before and during a training step, and gradients."""
    ignored = meta['config']['ignore_index']
    model = build(meta, ignore_index=ignored)
    texts = arrays['in_text_features']
    model.set_vocabulary(texts, numbered(len(texts)))
    image = torch.from_numpy(arrays['in_image'])
    samples = targets(arrays['in_target'])
    ours = {}
    with torch.no_grad():
        ours['out_loss_eval'] = model.loss(image, samples)['decode.loss_ce']
    model.train()
    with watch(model) as seen:
        loss = model.loss(image, samples)['decode.loss_ce']
    loss.backward()
    ours['out_loss_train'] = loss.detach()
    with torch.no_grad():  # mmseg's loss calls no hook of the head
        head = model.decode_head
        scores = head(seen['tap_path_1'])
        ours['out_logits_train'] = model.upsample(scores, image)
    gradients = {k: p.grad for k, p in model.named_parameters()}
    ours['out_grad_norm'] = torch.stack(
        [gradients[our_name(k)].norm() for k in meta['config']['grad_names']]
    )
    norm = model.neck.fusion[0].res_conv_unit2.conv1.bn
    ours['out_bn_mean'] = norm.running_mean
    ours['out_bn_var'] = norm.running_var
    return with_stated_limits(ours, meta, arrays)


@adapter('lseg/zero_shot')
def zero_shot(meta: dict, arrays: dict) -> dict:
    """Score each image against 'others' and its own class alone."""
    model = build(meta)
    texts = torch.from_numpy(arrays['in_text_features'])
    image = torch.from_numpy(arrays['in_image'])
    samples = targets(arrays['in_target'])
    head = model.decode_head
    for sample, row in zip(samples, arrays['in_class_info'] + 1):
        # What `text` would have been encoded to, had the case words.
        sample.text = ['others', f'class {row}']
        head.remember(sample.text, texts[[0, row]])
    ours = {}
    with torch.no_grad():
        with watch(model, per_image=True) as seen:
            ours['out_loss'] = model.loss(image, samples)['decode.loss_ce']
        ours['out_logits'] = torch.stack(
            [s.seg_logits.data for s in model.predict(image, samples)]
        )
    ours.update(seen)
    ours = {k: cut(ours[k], k, meta) for k in ours if k in arrays}
    return with_stated_limits(ours, meta, arrays)


@adapter('lseg/multi_scale')
def multi_scale(meta: dict, arrays: dict) -> dict:
    """Run the authors' test-time protocol over a toy network."""
    weight = torch.from_numpy(arrays['in_weight'])
    config, ours = meta['config'], {}
    for number, case in config['cases'].items():
        calls = []

        def score(window, calls=calls):
            calls.append(window.shape)
            return F.conv2d(window, weight, padding=weight.shape[-1] // 2)

        mean, std = (torch.tensor(case[k]) for k in ('mean', 'std'))
        ours[f'out_scores_{number}'] = multi_scale_scores(
            score,
            torch.from_numpy(arrays[f'in_image_{number}']),
            base_size=config['base_size'],
            crop_size=config['crop_size'],
            scales=config['scales'],
            flip=case['flip'],
            padding=(-mean / std)[:, None, None],
        ).numpy()
        if 'num_forward' in case:
            ours[f'num_forward_{number}'] = Measured(
                abs(len(calls) - case['num_forward']), 0
            )
    return ours


@adapter('lseg/few_shot_metric')
def few_shot_metric(meta: dict, arrays: dict) -> dict:
    """Score binary maps of a fold."""
    miou, fb_iou = zero_shot_iou(
        arrays['in_pred'],
        arrays['in_gt'],
        arrays['in_class'],
        meta['config']['class_ids'],
        arrays.get('in_ignore'),
    )
    return {
        'out_miou': np.float32(miou),
        'out_fb_iou': np.float32(fb_iou),
    }


# ---- the model of a case ----


def build(meta: dict, ignore_index: int = 255) -> OpenVocabEncoderDecoder:
    """Build the case's network and fill it from its published layout.

    Raises:
        CaseError: Names or shapes of the layout do not fit ours.
    """
    config = meta['config']
    released = network_state(
        {k: torch.from_numpy(v) for k, v in reference_state(meta).items()}
    )
    block = None
    if config.get('arch_option', 0):
        block = dict(
            kind=BLOCKS[config['arch_option']],
            depth=max(
                config.get('block_depth', 1), 1
            ),  # the last step always runs
            activation=config.get('activation', 'lrelu'),
        )
    vit = 'pretrained.model.cls_token' in released
    backbone, neck = (vit_parts if vit else resnet_parts)(config, released)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = OpenVocabEncoderDecoder(
            backbone=backbone,
            neck=dict(
                type='mmclip.DPTNeck', channels=config['features'], **neck
            ),
            decode_head=dict(
                type='mmclip.LSegHead',
                in_channels=config['features'],
                vocabulary=dict(
                    type='mmclip.Vocabulary', embed_dims=config['text_dim']
                ),
                logit_scale=config['logit_scale'],
                spatial_block=block,
                ignore_index=ignore_index,
            ),
        )
    state, report = convert(released, model.state_dict())
    if not report.complete:
        raise CaseError(
            f'absent {report.absent[:3]}, homeless {report.homeless[:3]}, '
            f'reshaped {report.reshaped[:3]}, unknown {report.unknown[:3]}'
        )
    model.load_state_dict(state, strict=False)
    return model.eval()


def vit_parts(config: dict, released: dict) -> tuple[dict, dict]:
    """Read the sizes of a ViT and its pyramid from the weights' shapes."""
    kernel = released['pretrained.model.patch_embed.proj.weight'].shape
    places = released['pretrained.model.pos_embed'].shape[1] - 1
    depth = 1 + max(
        int(k.split('.')[3])
        for k in released
        if k.startswith('pretrained.model.blocks.')
    )
    hooks = config.get('hooks') or [depth * k // 4 - 1 for k in (1, 2, 3, 4)]
    width, factors = kernel[0], []
    for level in range(1, len(hooks) + 1):
        name = f'pretrained.act_postprocess{level}.4.weight'
        if name not in released:
            factors.append(1)
        elif level == len(hooks) and released[name].shape[-1] == 3:
            factors.append(0.5)
        else:
            factors.append(released[name].shape[-1])
    backbone = dict(
        type='mmclip.LSegViT',
        model=dict(
            img_size=kernel[-1] * round(places**0.5),
            patch_size=kernel[-1],
            embed_dims=width,
            depth=depth,
            num_heads=width // 64,  # as in every ViT of timm's sizes
        ),
        out_indices=hooks,
    )
    neck = dict(
        in_channels=[width] * len(hooks),
        reassemble=dict(
            readout=config.get('readout', 'project'),
            factors=factors,
            out_channels=[
                len(released[f'pretrained.act_postprocess{k}.3.bias'])
                for k in range(1, len(hooks) + 1)
            ],
        ),
    )
    return backbone, neck


def resnet_parts(config: dict, released: dict) -> tuple[dict, dict]:
    """Read the depth of a ResNet from the weights' names."""
    third = 1 + max(
        int(k.split('.')[2])
        for k in released
        if k.startswith('pretrained.layer3.')
    )
    depth = {6: 50, 23: 101, 36: 152}[third]
    backbone = dict(type='mmseg.ResNet', depth=depth, style='pytorch')
    return backbone, dict(in_channels=config['in_channels'])


# ---- what is seen on the way ----


@contextmanager
def watch(model, per_image: bool = False):
    """Collect the taps of a forward pass by their names in the cases."""
    seen, handles = {}, []

    def keep(module, name):
        def hook(_, __, output):
            value = output.clone()  # mmseg's ReLU works in place
            known = seen.get(name)
            if per_image and known is not None:
                value = torch.cat([known, value])
            seen[name] = value

        handles.append(module.register_forward_hook(hook))

    def layers(_, __, outputs):
        for k, output in enumerate(outputs, start=1):
            seen[f'tap_layer_{k}'] = output

    if hasattr(model.backbone, 'trunk'):
        for k, index in enumerate(model.backbone.out_indices, start=1):
            keep(model.backbone.trunk.blocks[index], f'tap_block_out_{k}')
    else:
        handles.append(model.backbone.register_forward_hook(layers))
    for k, level in enumerate(model.neck.reassemble or (), start=1):
        keep(level, f'tap_reassembled_{k}')
    for k, (conv, fusion) in enumerate(
        zip(model.neck.lateral, model.neck.fusion), start=1
    ):
        keep(conv, f'tap_layer{k}_rn')
        keep(fusion, f'tap_path_{k}')
    head = model.decode_head

    def features(_, __, output):
        # The head never holds them whole.
        with torch.no_grad():
            seen['tap_image_features'] = head.embed(output)

    handles.append(model.neck.register_forward_hook(features))
    keep(head, 'tap_logits_lowres')
    if head.spatial_block:
        handles.append(
            head.spatial_block.register_forward_pre_hook(
                lambda _, args: seen.update(tap_logits_before_block=args[0])
            )
        )
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def scores_in_half(model, pixels, image):
    """Score with the product in half precision, as the release does."""
    head = model.decode_head
    unit = (pixels / pixel_norms(pixels) * head.logit_scale).half()
    texts = F.normalize(head.vocabulary.embeddings, dim=1).half()
    scores = F.conv2d(unit, texts[:, :, None, None]).float()
    return model.upsample(head.regularise(scores), image)


# ---- arrays ----


def numbered(count: int) -> list[str]:
    """Name text embeddings that came without words."""
    return [f'name {k}' for k in range(count)]


def targets(maps: np.ndarray) -> list:
    """Wrap label maps (B, H, W) as mmseg's data samples."""
    size = maps.shape[1:]
    meta = dict(ori_shape=size, img_shape=size, pad_shape=size)
    return [
        SegDataSample(
            metainfo=meta,
            gt_sem_seg=PixelData(data=torch.from_numpy(m[None]).long()),
        )
        for m in maps
    ]


def cut(value, name: str, meta: dict):
    """Take every n-th entry along each side, as the case says."""
    steps = meta['config'].get('subsample', {}).get(name)
    if steps is None:
        return value
    return value[tuple(slice(None, None, step) for step in steps)]


def with_stated_limits(ours: dict, meta: dict, arrays: dict) -> dict:
    """Apply the looser limits of single quantities that the notes state."""
    notes = meta['notes']
    limits = {
        'out_logits_fp16': r'out_logits_fp16: tolerance ([\d.e-]*\d)',
        'out_grad_norm': r'out_grad_norm.*?\(tolerance ([\d.e-]*\d)\)',
    }
    for name, pattern in limits.items():
        stated = re.search(pattern, notes)
        if name in ours and name in arrays and stated:
            theirs = arrays[name]
            error = np.linalg.norm(np.asarray(ours[name]) - theirs)
            ours[name] = Measured(
                float(error / np.linalg.norm(theirs)), float(stated[1])
            )
    return ours
