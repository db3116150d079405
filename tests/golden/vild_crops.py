"""Run the cases of ViLD's region crops through mmclip."""

import re

import numpy as np
import torch
import torch.nn.functional as F
from cases import CaseError, adapter, reference_state
from torch import Tensor

from mmclip.vild.crop_encoder import sum_of_scales
from mmclip.vild.crops import (
    centre_window,
    crop_boxes,
    integer_boxes,
    resized_sides,
    scale_boxes,
)

QUANTITY = re.compile(
    r'(?:out|tap)_(?P<what>boxes|int_boxes|center_crop_windows|crop_sizes_wh'
    r'|pixels|embedding)(?:_box(?P<row>\d+))?(?:_(?P<scale>\d+(?:_\d+)?)x)?'
    r'(?:_stride(?P<stride>\d+))?'
)


@adapter('vild/crops')
def crops(meta: dict, arrays: dict) -> dict:
    """Cut, resize and embed the boxes of an image at each scale."""
    image = torch.from_numpy(arrays['in_image_chw_rgb'])
    boxes = torch.from_numpy(arrays['in_boxes_xyxy']).float()
    asked = {key: QUANTITY.fullmatch(key) for key in arrays}
    asked = {key: match for key, match in asked.items() if match}
    scales = {m['scale'] for m in asked.values() if m['scale']}
    parts = {s: at_scale(meta, image, boxes, s) for s in sorted(scales)}
    ours = {}
    for key, match in asked.items():
        scale, what = match['scale'], match['what']
        if scale is None:
            each = [part['embedding'] for part in parts.values()]
            ours[key] = sum_of_scales(torch.stack(each, dim=1)).numpy()
        elif what == 'pixels':
            found = parts[scale]['pixels']
            if match['row']:
                found = found[int(match['row'])]
            step = int(match['stride'] or 0) or (
                found.shape[-1] // arrays[key].shape[-1]
            )
            ours[key] = found[..., ::step, ::step].numpy()
        else:
            ours[key] = np.asarray(parts[scale][what])
    return ours


def at_scale(meta: dict, image: Tensor, boxes: Tensor, scale: str) -> dict:
    """Return all quantities of one scale, such as ``'1_5'``."""
    size = meta['config']['n_px']
    factor = float(scale.replace('_', '.'))
    grown = scale_boxes(boxes, factor)
    whole = integer_boxes(grown)
    sides = (whole[:, 2:] - whole[:, :2]).tolist()  # width, height
    windows = [
        centre_window(*resized_sides(high, wide, size), size)
        for wide, high in sides
    ]
    cut = torch.stack(list(crop_boxes(image, boxes, factor, size, 'crop')))
    mean, std = (
        torch.tensor(meta['config'][key])[:, None, None]
        for key in ('mean', 'std')
    )
    pixels = (cut.float() / 255 - mean) / std
    return dict(
        boxes=grown,
        int_boxes=whole,
        crop_sizes_wh=sides,
        center_crop_windows=windows,
        pixels=pixels,
        embedding=stand_in(meta, pixels),
    )


def stand_in(meta: dict, pixels: Tensor) -> Tensor:
    """Embed crops (N, 3, S, S) as the case's encoder does: average, project.

    Raises:
        CaseError: The encoder does not fit a square grid of the crop.
    """
    weight = torch.from_numpy(reference_state(meta)['encoder'])
    grid = round((weight.shape[1] / 3) ** 0.5)
    if 3 * grid**2 != weight.shape[1] or pixels.shape[-1] % grid:
        raise CaseError(f'an encoder of {tuple(weight.shape)} has no grid')
    pooled = F.avg_pool2d(pixels, pixels.shape[-1] // grid)
    return pooled.flatten(1) @ weight.T
