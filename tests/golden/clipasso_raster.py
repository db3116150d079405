"""Run the golden cases of CLIPasso's rasteriser, which come from diffvg.

diffvg samples at random and its own backward pass is biased, so its pictures
are compared in decibels with its converged ones, and gradients foremost with
finite differences of its forward pass (``fd_*``).
"""

import numpy as np
import torch
from cases import Measured, adapter
from clipasso_measures import (
    cosine,
    direction,
    leaf,
    limit,
    noise,
    picture,
    relative,
    sampled,
    size_of,
)

from mmclip.clipasso.analytic_rasterizer import AnalyticRasterizer
from mmclip.clipasso.curves import pad_segments, path_segments

BLACK = (0.0, 0.0, 0.0, 1.0)
BIASED = ('u_turn', 'dot', 'off_all', 'thin')


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
        segments(points)[:, None],
        width[:, None],
        rgba[:, None],
        (height, wide),
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
            ours |= scene_gradients(
                meta, arrays, found, key[len('in_weight') :]
            )
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
