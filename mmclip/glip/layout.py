"""Find the place of each published tensor of GLIP in our model.

Two layouts are known: microsoft's own, and OpenMMLab's, whose names ours are.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mmclip.clip.conversion import Report

RENAMED = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (
            r'backbone\.body\.patch_embed\.proj\.',
            'backbone.patch_embed.projection.',
        ),
        (
            r'backbone\.body\.layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.',
            r'backbone.stages.\1.blocks.\2.ffn.layers.0.0.',
        ),
        (
            r'backbone\.body\.layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.',
            r'backbone.stages.\1.blocks.\2.ffn.layers.1.',
        ),
        (
            r'backbone\.body\.layers\.(\d+)\.blocks\.(\d+)\.attn\.',
            r'backbone.stages.\1.blocks.\2.attn.w_msa.',
        ),
        (r'backbone\.body\.layers\.', 'backbone.stages.'),
        (r'backbone\.body\.', 'backbone.'),
        (r'backbone\.fpn\.top_blocks\.p6\.', 'neck.fpn_convs.3.conv.'),
        (r'backbone\.fpn\.top_blocks\.p7\.', 'neck.fpn_convs.4.conv.'),
        (
            r'backbone\.fpn\.fpn_inner(\d)\.',
            lambda m: f'neck.lateral_convs.{int(m[1]) - 2}.conv.',
        ),
        (
            r'backbone\.fpn\.fpn_layer(\d)\.',
            lambda m: f'neck.fpn_convs.{int(m[1]) - 2}.conv.',
        ),
        (r'language_backbone\.', 'language_model.language_backbone.'),
        (r'rpn\.head\.', 'bbox_head.head.'),
    )
)
# In published files, and read by no network of GLIP.
UNUSED = re.compile(
    r'.*(anchor_generator|resizer|cls_logits|\.pooler\.|position_ids'
    r'|relative_position_index|attn_mask|tunable_linear).*'
)


def head_name(name: str) -> str | None:
    """Return our name of a tensor of the head; None where it is unused."""
    if UNUSED.fullmatch(name):
        return None
    return name.replace('DyConv', 'dyconvs').replace('AttnConv', 'attnconv')


def is_microsoft(state: Mapping[str, Tensor]) -> bool:
    """Tell whether names are those of microsoft/GLIP."""
    return any(
        name.removeprefix('module.').startswith(('rpn.head.', 'backbone.fpn.'))
        for name in state
    )


def our_name(name: str) -> str | None:
    """Return our name of microsoft's tensor; None where it has no place."""
    name = name.removeprefix('module.')
    for pattern, ours in RENAMED:
        found, count = pattern.subn(ours, name, count=1)
        if count and pattern.match(name):
            return head_name(found)
    return None


def reordered(name: str, value: Tensor) -> Tensor:
    """Sort what Swin's patch merging reads from (4, C) to (C, 4).

    microsoft joins the four sub-grids (0, 0), (1, 0), (0, 1), (1, 1); mmdet
    unfolds each channel's 2 x 2 square row by row.
    """
    if '.downsample.' not in name:
        return value
    parts = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return parts.transpose(-1, -2).flatten(-2)


def convert(
    published: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], Report]:
    """Rename a published state dict.

    Args:
        published: Names and tensors, in either layout.
        own: Our model's state dict, whose names and shapes count.

    Returns:
        The tensors by our names, and what was done.
    """
    theirs = is_microsoft(published)
    report = Report(layout="microsoft's" if theirs else "OpenMMLab's")
    state = {}
    for name, value in published.items():
        if UNUSED.fullmatch(name):
            report.unused.append(name)
            continue
        ours = our_name(name) if theirs else name
        if not theirs and name not in own:
            ours = None
        if report.place(name, ours, value, own):
            state[ours] = reordered(ours, value) if theirs else value
    report.close(key for key in own if not UNUSED.fullmatch(key))
    return state, report
