"""Find the place of each released tensor of LSeg in our model.

Every released tensor has one place here and keeps its shape; the table
``PLACES`` says which.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mmclip.clip.conversion import Report

TEXT_TOWER = 'clip_pretrained.'
# Released name (without 'net.') -> ours.
PLACES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r'pretrained\.model\.(.*)', r'backbone.trunk.\1'),
        (
            r'pretrained\.act_postprocess(\d)\.0\.project\.0\.(.*)',
            r'neck.reassemble.<\1>.readout.0.\2',
        ),
        (
            r'pretrained\.act_postprocess(\d)\.3\.(.*)',
            r'neck.reassemble.<\1>.project.\2',
        ),
        (
            r'pretrained\.act_postprocess(\d)\.4\.(.*)',
            r'neck.reassemble.<\1>.resize.\2',
        ),
        (r'pretrained\.layer1\.0\.(.*)', r'backbone.conv1.\1'),
        (r'pretrained\.layer1\.1\.(.*)', r'backbone.bn1.\1'),
        (r'pretrained\.layer1\.4\.(.*)', r'backbone.layer1.\1'),
        (r'pretrained\.(layer[234]\..*)', r'backbone.\1'),
        (r'scratch\.layer(\d)_rn\.(.*)', r'neck.lateral.<\1>.\2'),
        (
            r'scratch\.refinenet(\d)\.out_conv\.(.*)',
            r'neck.fusion.<\1>.project.conv.\2',
        ),
        (
            r'scratch\.refinenet(\d)\.resConfUnit(\d)\.conv(\d)\.(.*)',
            r'neck.fusion.<\1>.res_conv_unit\2.conv\3.conv.\4',
        ),
        (
            r'scratch\.refinenet(\d)\.resConfUnit(\d)\.bn(\d)\.(.*)',
            r'neck.fusion.<\1>.res_conv_unit\2.conv\3.bn.\4',
        ),
        (r'scratch\.head1\.(.*)', r'decode_head.project.\1'),
        (
            r'scratch\.head_block\.depthwise\.depthwise\.(.*)',
            r'decode_head.spatial_block.conv.\1',
        ),
    )
)
# In the checkpoints, and never read by the released network.
UNUSED = re.compile(
    r'pretrained\.model\.(norm|head)\..*|'
    r'pretrained\.(fc|layer\d\.fc)\..*|'
    r'scratch\.refinenet4\.resConfUnit1\..*'
)


def our_name(released: str) -> str | None:
    """Return our name of a released tensor; None where it has no place."""
    for pattern, ours in PLACES:
        match = pattern.fullmatch(released)
        if match:
            name = match.expand(ours)
            return re.sub(r'<(\d)>', lambda m: str(int(m[1]) - 1), name)
    return None


def network_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip ``net.`` and ``module.``, and what Lightning added.

    Raises:
        ValueError: The checkpoint is of another network.
    """
    found = {}
    for name, value in state.items():
        bare = re.sub(r'^(module\.)?(net\.)?', '', name)
        found[bare] = value
    if 'scratch.head1.weight' not in found:
        raise ValueError(
            f'there is no scratch.head1.weight among {len(found)} tensors '
            f'such as {list(found)[:3]}: this is no checkpoint of LSeg'
        )
    return {
        k: v
        for k, v in found.items()
        if k.startswith(('pretrained.', 'scratch.', TEXT_TOWER))
    }


def convert(
    released: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], Report]:
    """Convert all that has a place.

    Args:
        released: Names and tensors, without ``net.``.
        own: Our model's state dict, whose names and shapes count.

    Returns:
        The tensors by our names, and what was done.
    """
    state, report = {}, Report()
    for name, value in released.items():
        if name.startswith(TEXT_TOWER):
            continue
        if UNUSED.fullmatch(name):
            report.unused.append(name)
            continue
        ours = our_name(name)
        if report.place(name, ours, value, own):
            state[ours] = value
    report.close(key for key in own if not is_ours_alone(key))
    return state, report


def is_ours_alone(key: str) -> bool:
    """Tell what our state dict has and a release has not."""
    return 'vocabulary.' in key or '.background.' in key
