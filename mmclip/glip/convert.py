"""Turn published checkpoints of GLIP into files that mmengine loads."""

import copy
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mmclip.checkpoint import CheckpointError, load_passing_over
from mmclip.clip.conversion import Report, known_target, write_checkpoint
from mmclip.glip.layout import convert, is_microsoft

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
    target = known_target(target)
    converted, report = convert(state, build_model(cfg).state_dict())
    if report.complete:
        source = "microsoft's" if is_microsoft(state) else "OpenMMLab's"
        write_checkpoint(
            target, converted, dict(cfg=cfg.pretty_text, source=source)
        )
    return report
