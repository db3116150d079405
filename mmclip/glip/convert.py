"""Turn published checkpoints of GLIP into files that mmengine loads."""

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mmclip.checkpoint import CheckpointError, load_passing_over
from mmclip.glip.layout import Report, convert, is_microsoft

# What microsoft's training may have pickled beside the weights.
PASSED_OVER = ('maskrcnn_benchmark.', 'yacs.', 'collections.', 'argparse.')


def read_published(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a file of microsoft's or OpenMMLab's.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It asks to run something, is cut short, or holds no
            GLIP.
    """
    stored = load_passing_over(path, PASSED_OVER)
    for key in ('state_dict', 'model'):
        if isinstance(stored.get(key), Mapping):
            stored = stored[key]
    state = {k: v for k, v in stored.items() if isinstance(v, Tensor)}
    if not any('dyhead_tower.' in name for name in state):
        raise CheckpointError(
            f"'{path}' holds no GLIP: none of its {len(state)} tensors is of "
            "a dyhead_tower; expected microsoft/GLIP's file or mmdet's"
        )
    return state


def recipe_for(state: Mapping[str, Tensor]) -> str:
    """Return the name of the config that a checkpoint fits.

    (B), (C) and T are one network; that of T is named for them.

    Raises:
        ValueError: There is none.
    """
    names = [name.removeprefix('module.') for name in state]
    fused = any('.b_attn.' in name for name in names)
    width = next(
        (len(v) for k, v in state.items() if 'patch_embed.norm.w' in k), None
    )
    known = {
        (96, False): 'glip-a_swin-t_fpn_coco',
        (96, True): 'glip-t_swin-t_fpn_coco',
        (192, True): 'glip-l_swin-l_fpn_coco',
    }
    if (width, fused) not in known:
        raise ValueError(
            f'no config fits a Swin of width {width} '
            f'{"with" if fused else "without"} fusion: name one with --config'
        )
    return known[width, fused]


def build_model(cfg):
    """Build the model of a config without reading a vocabulary."""
    from mmengine.registry import MODELS, DefaultScope

    model = copy.deepcopy(cfg.model)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        return MODELS.build(model)


def convert_release(state: Mapping[str, Tensor], target, cfg) -> Report:
    """Convert a published state dict into a file that mmengine loads.

    Nothing is written where the two sides do not fit.

    Args:
        state: See :func:`read_published`.
        target: ``.safetensors`` or ``.pth``.
        cfg: Config of the model; see :func:`recipe_for`.

    Raises:
        ValueError: The target's name ends otherwise.
    """
    target = Path(target)
    if target.suffix not in ('.safetensors', '.pth'):
        raise ValueError(
            f"'{target}' ends in neither of .safetensors and .pth: name the "
            'target so that its format is known'
        )
    converted, report = convert(state, build_model(cfg).state_dict())
    if report.complete:
        source = "microsoft's" if is_microsoft(state) else "OpenMMLab's"
        write(target, converted, dict(cfg=cfg.pretty_text, source=source))
    return report


def write(target: Path, state: Mapping[str, Tensor], meta: dict) -> None:
    """Write a checkpoint; what was there stays until it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f'.{target.name}.{os.getpid()}')
    try:
        if target.suffix == '.safetensors':
            from safetensors.torch import save_file

            tensors = {k: v.contiguous().clone() for k, v in state.items()}
            save_file(
                tensors, partial, {k: json.dumps(v) for k, v in meta.items()}
            )
        else:
            torch.save(dict(meta=meta, state_dict=dict(state)), partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
