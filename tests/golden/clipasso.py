"""Run CLIPasso's golden cases through mmclip.

diffvg samples at random and its own backward pass is biased, so its pictures
are compared in decibels with its converged ones, and gradients foremost with
finite differences of its forward pass (``fd_*``).
"""

import re

import numpy as np
import torch
from cases import CaseError, Measured, adapter, reference_state
from torch import nn

from mmclip.clip.image import image_tower as wrap_tower
from mmclip.clip.weights import build_clip
from mmclip.clipasso.analytic_rasterizer import AnalyticRasterizer
from mmclip.clipasso.curves import pad_segments, path_segments

BLACK = (0.0, 0.0, 0.0, 1.0)
BIASED = ('u_turn', 'dot', 'off_all', 'thin')


def limit(meta: dict, *keys: str) -> float:
    """Return the first tolerance that the case states of several.

    Raises:
        CaseError: It states none of them as a number.
    """
    stated = meta['tolerance']
    for key in keys:
        if isinstance(stated, dict) and isinstance(
            stated.get(key), int | float
        ):
            return float(stated[key])
    raise CaseError(f'no tolerance is stated for {keys[0]}')


def rms(ours, theirs) -> float:
    difference = np.asarray(ours, float) - np.asarray(theirs, float)
    return float(np.sqrt(np.mean(difference**2)))


def relative(ours, theirs) -> float:
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    return float(
        np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), 1e-12)
    )


def cosine(ours, theirs) -> float:
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    length = np.linalg.norm(ours) * np.linalg.norm(theirs)
    if not length:  # both silent, or one of them wrongly
        return float(np.array_equal(ours, theirs))
    return float((ours * theirs).sum() / length)


def picture(ours, theirs, decibels: float) -> Measured:
    """Measure the root mean square error of a picture in [0, 1]."""
    return Measured(rms(ours, theirs), 10 ** (-decibels / 20))


def direction(ours, theirs, least: float) -> Measured:
    """Measure how far a gradient's direction is off, as 1 - cosine."""
    return Measured(1 - cosine(ours, theirs), 1 - least)


def noise(ours, mean, error, least: float) -> Measured:
    """Measure how far a gradient is from a noisy mean, length included.

    A cosine of ``least`` lets vectors of one length be sqrt(2 - 2 least)
    apart; twice the mean's own standard error comes on top.
    """
    spread = 2 * np.linalg.norm(error) / max(np.linalg.norm(mean), 1e-12)
    return Measured(relative(ours, mean), np.sqrt(2 - 2 * least) + spread)


def sampled(ours, theirs, converged) -> Measured:
    """Measure the distance to a noisy picture: hardly more than its noise."""
    return Measured(rms(ours, theirs), 1.05 * rms(converged, theirs) + 1e-6)


def leaf(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values, np.float32), requires_grad=True)


def size_of(meta: dict) -> tuple[int, int]:
    return meta['config']['canvas_height'], meta['config']['canvas_width']


def colours(arrays: dict, count: int) -> torch.Tensor:
    """Return the case's colours, opaque black where it has none."""
    stored = arrays.get('in_color', np.tile(np.float32(BLACK), (count, 1)))
    return leaf(stored)


def segments(points: torch.Tensor) -> torch.Tensor:
    """Return strokes (N, S, 4, 2) of control points (N, 3 S + 1, 2)."""
    return torch.stack(
        [points[:, k : k + 4] for k in range(0, points.shape[1] - 1, 3)], 1
    )


def gradients(image, weight, inputs) -> list[np.ndarray]:
    loss = (image * torch.from_numpy(weight)).sum()
    found = torch.autograd.grad(loss, inputs, retain_graph=True)
    return [g.numpy() for g in found]


@adapter('clipasso/raster_single')
def raster_single(meta: dict, arrays: dict) -> dict:
    """Draw single strokes, each on a canvas of its own."""
    names = meta['config']['names']
    count = len(names)
    points, width = leaf(arrays['in_points']), leaf(arrays['in_width'])
    rgba = colours(arrays, count)
    height, wide = arrays['out_alpha_ref'].shape[1:]
    image = AnalyticRasterizer()(
        segments(points)[:, None], width[:, None], rgba[:, None], (height, wide)
    )
    alpha = image[:, 3]
    found = gradients(alpha, arrays['in_weight'], (points, width, rgba))
    ours = {}
    for kind in ('ref', '2x2'):
        key, ref = f'out_alpha_{kind}', arrays['out_alpha_ref']
        worst = []
        for k, name in enumerate(names):
            mine = alpha[k].detach().numpy()
            if kind == 'ref':
                said = f'alpha_psnr_db_{name}', 'alpha_psnr_db'
                one = picture(mine, ref[k], limit(meta, *said))
            else:
                one = sampled(mine, arrays[key][k], ref[k])
            worst.append(one)
            ours[f'{key}_{name}'] = one
        ours[key] = max(worst, key=lambda m: m.error / m.tolerance)
    excluded = meta['config'].get('grad_excluded', BIASED)
    kept = [k for k, name in enumerate(names) if name not in excluded]
    ours |= single_points(meta, arrays, found[0], kept, names)
    ours |= single_numbers(arrays, found[1], found[2][:, 3], kept)
    return ours


def single_points(meta, arrays, found, kept, names) -> dict:
    """Compare the gradients of points, stroke by stroke."""
    least = limit(meta, 'grad_points_cosine_to_fd')
    fd, mean = arrays['out_fd_points'], arrays['out_grad_points_mean']
    ours = {
        f'fd_points_{names[k]}': direction(found[k], fd[k], least)
        for k in kept
    }
    ours['out_fd_points'] = direction(found[kept], fd[kept], least)
    # diffvg is as far from its own finite differences as we may be from it
    apart = cosine(mean[kept], fd[kept])
    bias = np.arccos(np.clip(apart, -1, 1)) + np.arccos(least)
    ours['out_grad_points_mean'] = direction(
        found[kept], mean[kept], float(np.cos(bias))
    )
    ours['tap_grad_points_se'] = noise(
        found[kept],
        mean[kept],
        arrays['tap_grad_points_se'][kept],
        float(np.cos(bias)),
    )
    return ours


def single_numbers(arrays, by_width, by_alpha, kept) -> dict:
    """Compare the gradients of widths and opacities.

    Their tolerances are stated as text: within 2 or 10 % of finite
    differences for a width, within .5 or 5 % for an opacity. Errors are
    shares of these. diffvg's own width gradient may lie as much farther from
    ours as it is from the finite differences.
    """
    fd, mean = arrays['out_fd_width'], arrays['out_grad_width_mean']
    alpha = arrays['out_grad_alpha_mean']
    of_fd = np.maximum(2, 0.1 * np.abs(fd))[kept]
    of_mean = of_fd + np.abs(fd - mean)[kept]
    of_alpha = np.maximum(0.5, 0.05 * np.abs(alpha))[kept]

    def share(ours, theirs, allowed):
        away = np.abs(ours - theirs)[kept]
        return Measured(float(np.max(away / allowed)), 1.0)

    spread = 2 * arrays['tap_grad_width_se'][kept]
    more = 2 * arrays['tap_grad_alpha_se'][kept]
    return dict(
        out_fd_width=share(by_width, fd, of_fd),
        out_grad_width_mean=share(by_width, mean, of_mean),
        tap_grad_width_se=share(by_width, mean, of_mean + spread),
        out_grad_alpha_mean=share(by_alpha, alpha, of_alpha),
        tap_grad_alpha_se=share(by_alpha, alpha, of_alpha + more),
    )


@adapter('clipasso/raster_scene')
def raster_scene(meta: dict, arrays: dict) -> dict:
    """Draw many strokes and weigh their alpha with several maps."""
    points, width = leaf(arrays['in_points']), leaf(arrays['in_width'])
    rgba = colours(arrays, len(points))
    image = AnalyticRasterizer()(
        segments(points)[None], width[None], rgba[None], size_of(meta)
    )
    alpha = image[0, 3]
    mine, ref = alpha.detach().numpy(), arrays['out_alpha_ref']
    ours = dict(out_alpha_ref=picture(mine, ref, limit(meta, 'alpha_psnr_db')))
    if 'out_alpha_2x2' in arrays:
        ours['out_alpha_2x2'] = sampled(mine, arrays['out_alpha_2x2'], ref)
    for key in arrays:
        if key.startswith('in_weight'):
            found = gradients(alpha, arrays[key], (points, width, rgba))
            ours |= scene_gradients(meta, arrays, found, key[len('in_weight') :])
    return ours


def scene_gradients(meta, arrays, found, tail: str) -> dict:
    """Compare gradients of one map; ``tail`` ends the arrays' names."""
    by_points, by_width, by_rgba = found
    ours = {}
    key = f'out_fd_directional{tail}'
    if key in arrays:
        moved = arrays['in_fd_directions'] * by_points
        ours[key] = Measured(
            relative(moved.sum((1, 2, 3)), arrays[key]),
            limit(meta, 'fd_directional_rel'),
        )
    of_points = limit(meta, 'grad_points_cosine_to_diffvg')
    for name, grad, least in (
        ('points', by_points, of_points),
        ('width', by_width, of_points),
        ('alpha', by_rgba[:, 3], limit(meta, 'grad_alpha_cosine')),
    ):
        mean = arrays.get(f'out_grad_{name}_mean{tail}')
        if mean is None:
            continue
        ours[f'out_grad_{name}_mean{tail}'] = direction(grad, mean, least)
        error = arrays.get(f'tap_grad_{name}_se{tail}')
        if error is not None:
            ours[f'tap_grad_{name}_se{tail}'] = noise(grad, mean, error, least)
    key = f'tap_grad_points_2x2_seed0{tail}'
    if key in arrays:  # one noisy draw of the mean
        mean = arrays[f'out_grad_points_mean{tail}']
        apart = np.arccos(cosine(arrays[key], mean)) + np.arccos(of_points)
        ours[key] = direction(by_points, arrays[key], float(np.cos(apart)))
    return ours


@adapter('clipasso/raster_color')
def raster_color(meta: dict, arrays: dict) -> dict:
    """Draw translucent colours over white."""
    points, width = leaf(arrays['in_points']), leaf(arrays['in_width'])
    rgba = colours(arrays, len(points))
    strokes = segments(points)[None], width[None], rgba[None], size_of(meta)
    raster = AnalyticRasterizer()
    image = raster(*strokes, background=torch.ones(3))[0, :3]
    image = image.permute(1, 2, 0)
    least = limit(meta, 'rgb_psnr_db')
    by_points, by_width, by_rgba = gradients(
        image, arrays['in_weight'], (points, width, rgba)
    )
    ours = dict(
        out_rgb_over_white_ref=picture(
            image.detach(), arrays['out_rgb_over_white_ref'], least
        ),
        out_rgba_raw_ref=raw(raster(*strokes)[0], arrays, least),
    )
    of_points = limit(meta, 'grad_points_cosine_to_diffvg')
    for name, grad in (('points', by_points), ('width', by_width)):
        mean, error = (
            arrays[f'out_grad_{name}_mean'],
            arrays[f'tap_grad_{name}_se'],
        )
        ours[f'out_grad_{name}_mean'] = direction(grad, mean, of_points)
        ours[f'tap_grad_{name}_se'] = noise(grad, mean, error, of_points)
    mean, error = arrays['out_grad_color_mean'], arrays['tap_grad_color_se']
    allowed = limit(meta, 'grad_color_rel')
    away = Measured(relative(by_rgba, mean), allowed)
    ours['out_grad_color_mean'] = away
    spread = 2 * np.linalg.norm(error) / np.linalg.norm(mean)
    ours['tap_grad_color_se'] = Measured(away.error, allowed + spread)
    return ours


def raw(image, arrays, least: float) -> Measured:
    """Compare with diffvg's transparent picture, which has straight colours.

    diffvg averages the colours of a pixel's samples, with black where none
    hits, so only alpha and the pixels that are covered wholly can be equal.
    """
    theirs = arrays['out_rgba_raw_ref']
    alpha = image[3].detach().numpy()
    one = picture(alpha, theirs[..., 3], least)
    covered = arrays['out_rgba_raw_ref'][..., 3] > 0.999
    if covered.any():
        colour = image[:3].detach().numpy().transpose(1, 2, 0)
        away = picture(colour[covered], theirs[..., :3][covered], least)
        one = max(one, away, key=lambda m: m.error)
    return one


@adapter('clipasso/raster_multiseg')
def raster_multiseg(meta: dict, arrays: dict) -> dict:
    """Draw paths of several cubics, and one of mixed degrees."""
    points, width = leaf(arrays['in_points']), leaf(arrays['in_width'])
    paths, first = [], 0
    for count in meta['config']['segments']:
        last = first + 3 * count + 1
        paths.append(path_segments(points[first:last], [3] * count))
        first = last
    rgba = colours(arrays, len(paths))
    image = AnalyticRasterizer()(
        pad_segments(paths)[None], width[None], rgba[None], size_of(meta)
    )
    ours = path_results(meta, arrays, image, points, width, '')
    if 'in_mixed_points' in arrays:
        points = leaf(arrays['in_mixed_points'])
        inner = meta['config']['mixed_num_control_points']
        path = path_segments(points, [1 + k for k in inner])
        width = leaf([meta['config']['mixed_width']])
        rgba = leaf([BLACK])
        image = AnalyticRasterizer()(
            path[None, None], width[None], rgba[None], size_of(meta)
        )
        ours |= path_results(meta, arrays, image, points, width, 'mixed_')
    return ours


def path_results(meta, arrays, image, points, width, head: str) -> dict:
    """Compare one picture of paths; ``head`` begins the arrays' names."""
    alpha = image[0, 3]
    ref = arrays[f'out_{head}alpha_ref']
    mine = alpha.detach().numpy()
    found = gradients(alpha, arrays['in_weight'], (points, width))
    ours = {
        f'out_{head}alpha_ref': picture(
            mine, ref, limit(meta, 'alpha_psnr_db')
        )
    }
    noisy = arrays.get(f'out_{head}alpha_2x2')
    if noisy is not None:
        ours[f'out_{head}alpha_2x2'] = sampled(mine, noisy, ref)
    least = limit(meta, 'grad_points_cosine_to_diffvg')
    for name, grad in zip(('points', 'width'), found):
        mean = arrays.get(f'out_{head}grad_{name}_mean')
        if mean is None:
            continue
        error = arrays[f'tap_{head}grad_{name}_se']
        ours[f'out_{head}grad_{name}_mean'] = direction(grad, mean, least)
        ours[f'tap_{head}grad_{name}_se'] = noise(grad, mean, error, least)
    return ours


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
    from mmclip.clipasso.augmentation import PairedAugment, Views
    from mmclip.clipasso.features import CLIPFeatureExtractor, layer_names

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
    from mmclip.clipasso.losses import CLIPGeometricLoss, CLIPSemanticLoss

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
        error = relative(value.detach().reshape(1), arrays[f'out_{mode}_{key}'])
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
        step = values.shape[axis] // count
        index = torch.arange(0, step * count, step)
        values = values.index_select(axis, index)
    return values


@adapter('clipasso/init_saliency')
def init_saliency(meta: dict, arrays: dict) -> dict:
    """Find where strokes start, from a stored and from our own attention."""
    from mmclip.clip.image import CLIPImageEncoder
    from mmclip.clipasso.saliency import (
        attention_maps,
        enlarge,
        luminance,
        unit_range,
        xdog,
    )

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
    blocks = [a[0, :, 0, 1:].mean(0) for a in encoder.attention(
        encoder.normalise(image)
    )]
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
    from mmclip.clipasso.stroke_init import (
        draw_starts,
        spread_points,
        start_probabilities,
    )

    config = meta['config']
    edges = edges if config['xdog_intersec'] else None
    share = start_probabilities(attention, edges, config['softmax_temp'])
    count, seed = config['num_stages'] * config['num_paths'], config['stroke_seed']
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
    from mmclip.clipasso.preprocess import (
        foreground_mask,
        keep_foreground,
        pad_to_white_square,
        resize_to_canvas,
    )

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
    import cv2

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
    from mmclip.clipasso.svg import Drawing, parse_svg, svg_text

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
        out_svg=Measured(
            relative(theirs.points, drawing.points), allowed
        ),
    )
    for k, path in enumerate(paths):
        cubic = reread.points[k, : len(path) // 3]
        flat = torch.cat([cubic[:1, 0], cubic[:, 1:].flatten(0, 1)])
        key = f'out_reloaded_points_{k}'
        ours[key] = Measured(relative(flat, arrays[key]), allowed)
    return ours
