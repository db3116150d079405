"""Run CLIPasso's golden cases, but for the rasteriser, through mmclip."""

import re

import cv2
import numpy as np
import torch
from cases import Measured, adapter, reference_state
from clipasso_measures import leaf, limit, relative, size_of
from torch import nn

from mmclip.clip.image import CLIPImageEncoder
from mmclip.clip.image import image_tower as wrap_tower
from mmclip.clip.weights import build_clip
from mmclip.clipasso.augmentation import PairedAugment, Views
from mmclip.clipasso.curves import pad_segments, path_segments
from mmclip.clipasso.features import CLIPFeatureExtractor, layer_names
from mmclip.clipasso.losses import CLIPGeometricLoss, CLIPSemanticLoss
from mmclip.clipasso.preprocess import (
    foreground_mask,
    keep_foreground,
    pad_to_white_square,
    resize_to_canvas,
)
from mmclip.clipasso.saliency import (
    attention_maps,
    enlarge,
    luminance,
    unit_range,
    xdog,
)
from mmclip.clipasso.stroke_init import (
    draw_starts,
    spread_points,
    start_probabilities,
)
from mmclip.clipasso.svg import Drawing, parse_svg, svg_text


def image_tower(meta: dict) -> nn.Module:
    """Build the case's CLIP and fill its image tower."""
    clip = meta['config']['clip']
    layers = clip['vision_layers']
    resnet = isinstance(layers, list)
    vision = dict(
        image_size=clip['image_resolution'],
        layers=layers,
        width=clip['vision_width'],
        patch_size=clip['vision_patch_size'],
        head_width=64,
    )
    text = dict(  # unused, so as small as can be
        context_length=1, vocab_size=1, width=8, heads=1, layers=1
    )
    model = build_clip(
        dict(
            embed_dim=clip['embed_dim'],
            vision_cfg={k: v for k, v in vision.items() if v is not None},
            text_cfg=text,
            quick_gelu=not resnet,
        )
    )
    state = {
        name.removeprefix('visual.'): torch.from_numpy(value)
        for name, value in reference_state(meta).items()
        if name.startswith('visual.')
    }
    model.visual.load_state_dict(state)
    return model.visual.eval()


@adapter('clipasso/loss')
def loss(meta: dict, arrays: dict) -> dict:
    """Compare a sketch with its target, plainly and from recorded views."""
    visual = image_tower(meta)
    names = layer_names(wrap_tower(visual))
    look = CLIPFeatureExtractor(visual, layers=names)
    sketch = leaf(arrays['in_sketch']).detach().expand(3, -1, -1)[None]
    sketch = sketch.contiguous().requires_grad_()
    target = torch.from_numpy(arrays['in_target']).permute(2, 0, 1)[None]
    target = target.float() / 255
    plain, seen = look(sketch), look.look_at_target(target)
    ours = measured_losses(meta, arrays, names, plain, seen, sketch, 'eval')
    ours |= loss_taps(meta, arrays, names, plain, seen)
    if 'in_aug_crop_ijhw' not in arrays:
        return ours
    views = Views(
        torch.from_numpy(arrays['in_aug_perspective_start']).double(),
        torch.from_numpy(arrays['in_aug_perspective_end']).double(),
        torch.from_numpy(arrays['in_aug_crop_ijhw']),
    )
    augment = PairedAugment(num_views=len(views), fused=False)
    shown, wanted = augment(sketch, target, views=views)
    ours |= measured_losses(
        meta,
        arrays,
        names,
        look(shown),
        look.look_at_target(wanted),
        sketch,
        'train',
    )
    both = look.encoder.normalise(torch.stack([shown, wanted], 1)[1:])
    ours['tap_aug_stride8'] = Measured(
        relative(both.detach()[..., ::8, ::8], arrays['tap_aug_stride8']),
        limit(meta, 'tap_aug_stride8', 'tap'),
    )
    return ours | drawn_views(meta, augment, views, sketch.shape[2:])


def drawn_views(meta, augment, views, size) -> dict:
    """Draw views anew from the case's seed: the same must come out."""
    torch.manual_seed(meta['config']['torch_manual_seed'])
    drawn = augment.draw(*size)
    return {
        f'views_{name}': Measured(
            relative(getattr(drawn, name), getattr(views, name)), 0.0
        )
        for name in ('start', 'end', 'crop')
    }


def measured_losses(meta, arrays, names, ours, theirs, sketch, mode) -> dict:
    """Compare the losses of one mode and their gradient."""
    config = meta['config']
    weights = config['clip_conv_layer_weights']
    chosen = {n: w for n, w in zip(names, weights) if w}
    geometric = CLIPGeometricLoss(chosen, config['clip_conv_loss_type'])
    semantic = CLIPSemanticLoss(config['clip_fc_loss_weight'])
    parts = geometric(ours, theirs) | semantic(ours, theirs)
    parts = {name: value.mean() for name, value in parts.items()}
    total = sum(parts.values())
    (gradient,) = torch.autograd.grad(total, sketch)
    named = {'total': total, 'fc': parts['loss_semantic']}
    for name in chosen:
        key = f'clip_conv_loss_layer{names.index(name)}'
        named[key] = parts[f'loss_geometric_{name}']
    # the release also returns a constant
    named['clip_conv_loss'] = torch.zeros(())
    result = {}
    for key, value in named.items():
        error = relative(
            value.detach().reshape(1), arrays[f'out_{mode}_{key}']
        )
        allowed = limit(meta, key, 'loss')
        result[f'out_{mode}_{key}'] = Measured(error, allowed)
    allowed = limit(meta, 'grad_sketch')
    for tail, mine in (
        ('sum', gradient[0].sum(0)),
        ('stride8', gradient[0, :, ::8, ::8]),
    ):
        key = f'out_{mode}_grad_sketch_{tail}'
        result[key] = Measured(relative(mine, arrays[key]), allowed)
    return result


def loss_taps(meta, arrays, names, plain, seen) -> dict:
    """Compare the layers of the plain pictures."""
    rows = {'sketch': plain, 'target': seen}
    mine = {}
    for who, features in rows.items():
        mine[f'tap_fc_{who}'] = features.pooled
        mine[f'tap_layer_rms_{who}'] = torch.stack(
            [features.layers[n].square().mean().sqrt() for n in names]
        )
    mine['tap_layer_l2'] = torch.stack(
        [(plain.layers[n] - seen.layers[n]).square().mean() for n in names]
    )
    for key, theirs in arrays.items():
        found = re.fullmatch(r'tap_(layer|block)(\d+)_(\w+)_sub', key)
        if found:
            name = names[int(found[2])]
            whole = rows[found[3]].layers[name][0]
            mine[key] = subset(whole, theirs.shape)
    allowed = limit(meta, 'tap')
    return {
        key: Measured(relative(value.detach(), arrays[key]), allowed)
        for key, value in mine.items()
    }


def subset(values: torch.Tensor, shape) -> torch.Tensor:
    """Take every so manieth element so that ``shape`` is left."""
    for axis, count in enumerate(shape):
        step = -(-values.shape[axis] // count)
        index = torch.arange(0, values.shape[axis], step)
        values = values.index_select(axis, index)
    return values


@adapter('clipasso/init_saliency')
def init_saliency(meta: dict, arrays: dict) -> dict:
    """Find where strokes start, from a stored and from our own attention."""
    encoder = CLIPImageEncoder(image_tower(meta))
    image = torch.from_numpy(arrays['in_image']).permute(2, 0, 1)[None] / 255
    grey = luminance(
        encoder.normalise(image.double())[0].permute(1, 2, 0).numpy()
    )
    options = dict(meta['config']['xdog'])
    binarize = options.pop('binarize', None) == 'otsu'
    named = dict(eps='epsilon', k='ratio')
    options = {named.get(key, key): v for key, v in options.items()}
    edges = xdog(grey, **options, binarize=binarize)
    soft = xdog(grey, **options, binarize=False)
    size = image.shape[2:]
    ours_map = enlarge(attention_maps(encoder, image), size)[0].numpy()
    blocks = [
        a[0, :, 0, 1:].mean(0)
        for a in encoder.attention(encoder.normalise(image))
    ]
    close = limit(meta, 'attention')
    found = dict(
        out_attention_vit=ours_map,
        tap_cls_attention_per_layer=torch.stack(blocks),
        tap_gray_stride4=grey[::4, ::4],
        tap_xdog_unbinarised_stride4=soft[::4, ::4],
    )
    if 'in_attention_7x7' in arrays:
        fixed = torch.from_numpy(arrays['in_attention_7x7'])[None]
        found['in_attention_fixed'] = enlarge(fixed, size)[0]
    ours = {
        key: Measured(relative(value, arrays[key]), close)
        for key, value in found.items()
        if key in arrays
    }
    missed = np.mean(edges != arrays['out_xdog'])
    ours['out_xdog'] = Measured(float(missed), 0.001)
    maps = dict(fixed=arrays['in_attention_fixed'], vit=ours_map)
    for name, attention in maps.items():
        if f'out_inds_yx_{name}' in arrays:
            ours |= starts(meta, arrays, name, unit_range(attention), edges)
    return ours


def starts(meta, arrays, name: str, attention, edges) -> dict:
    """Draw starts and control points with the case's seed."""
    config = meta['config']
    edges = edges if config['xdog_intersec'] else None
    share = start_probabilities(attention, edges, config['softmax_temp'])
    count, seed = (
        config['num_stages'] * config['num_paths'],
        config['stroke_seed'],
    )
    inds = draw_starts(share, count, seed)
    theirs = arrays[f'out_inds_yx_{name}']
    # from our own attention, rounding may move a start to the next pixel
    points = spread_points(theirs, share.shape, config['num_segments'], seed)
    path = torch.cat([points[:, :1, 0], points[:, :, 1:].flatten(1, 2)], 1)
    close = limit(meta, 'attention')
    return {
        f'out_prob_{name}_sum_rows': Measured(
            relative(share.sum(1), arrays[f'out_prob_{name}_sum_rows']), close
        ),
        f'out_prob_{name}_stride4': Measured(
            relative(share[::4, ::4], arrays[f'out_prob_{name}_stride4']),
            close,
        ),
        f'out_inds_yx_{name}': inds
        if name == 'fixed'
        else probability_between(inds, theirs, share, close),
        f'out_init_points_{name}': Measured(
            relative(path, arrays[f'out_init_points_{name}'][: len(path)]),
            limit(meta, 'init_points'),
        ),
    }


def probability_between(ours, theirs, share, allowed: float) -> Measured:
    """Measure the probability of the pixels between two draws of starts.

    One uniform number draws both, so it is what the error of the attention
    adds up to; 0 for the same pixel or the next probable one.
    """
    flat = [np.ravel_multi_index(v.T, share.shape) for v in (ours, theirs)]
    first, last = np.minimum(*flat), np.maximum(*flat)
    total = share.flatten().cumsum()
    between = np.where(first == last, 0, total[last - 1] - total[first])
    return Measured(float(between.max()), allowed)


@adapter('clipasso/preprocess')
def preprocess(meta: dict, arrays: dict) -> dict:
    """Mask a photograph, pad it and bring it to the canvas."""
    image = arrays['in_image']
    mask = foreground_mask(arrays['in_u2net_d1'], image.shape[:2])
    masked = keep_foreground(image, mask)
    target = arrays['out_target_plain'].shape[0]
    return dict(
        out_masked=border_only(masked, arrays['out_masked'], mask),
        out_fix_scale=padded(pad_to_white_square, image, masked, arrays),
        out_target_plain=levels(
            resize_to_canvas(image, target), arrays['out_target_plain']
        ),
        out_target_masked_fixed=levels(
            resize_to_canvas(pad_to_white_square(masked), target),
            arrays['out_target_masked_fixed'],
        ),
    )


def levels(ours, theirs) -> Measured:
    """Measure the largest difference in grey levels; one is allowed."""
    return Measured(float(np.abs(ours.astype(int) - theirs).max()), 1.0)


def border_only(ours, theirs, mask) -> Measured:
    """Measure the share of pixels that differ off the mask's border."""
    border = cv2.morphologyEx(
        mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
    )
    return Measured(float(np.mean((ours != theirs)[border == 0])), 0.0)


def padded(pad, image, masked, arrays) -> Measured:
    """Compare the square of whichever image was padded, exactly."""
    theirs = arrays['out_fix_scale']
    return Measured(
        min(float(np.mean(pad(i) != theirs)) for i in (image, masked)), 0.0
    )


@adapter('clipasso/svg')
def svg(meta: dict, arrays: dict) -> dict:
    """Write strokes as SVG and read ours and pydiffvg's."""
    names = sorted(
        (key for key in arrays if re.fullmatch(r'in_points_\d+', key)),
        key=lambda key: int(key.rsplit('_', 1)[1]),
    )
    paths = [torch.from_numpy(arrays[key]) for key in names]
    cubics = [path_segments(p, [3] * (len(p) // 3)) for p in paths]
    drawing = Drawing(
        pad_segments(cubics),
        torch.from_numpy(arrays['in_width']),
        torch.from_numpy(arrays['in_color']),
        size_of(meta),
    )
    allowed = float(meta['tolerance'])
    reread = parse_svg(svg_text(drawing))
    theirs = parse_svg(str(arrays['out_svg'].item()))
    ours = dict(
        out_reloaded_width=Measured(
            relative(reread.width, arrays['out_reloaded_width']), allowed
        ),
        out_reloaded_canvas=np.array(reread.size[::-1]),
        svg_colours=Measured(relative(reread.rgba, theirs.rgba), allowed),
        svg_widths=Measured(relative(reread.width, theirs.width), allowed),
        svg_points=Measured(relative(reread.points, theirs.points), allowed),
        out_svg=Measured(relative(theirs.points, drawing.points), allowed),
    )
    for k, path in enumerate(paths):
        cubic = reread.points[k, : len(path) // 3]
        flat = torch.cat([cubic[:1, 0], cubic[:, 1:].flatten(0, 1)])
        key = f'out_reloaded_points_{k}'
        ours[key] = Measured(relative(flat, arrays[key]), allowed)
    return ours
