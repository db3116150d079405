"""Give a trained GroupViT more or fewer groups, to be trained on.

G group tokens before and G' after, C width.

A new token begins as the twin of an old one with a little noise, so that
training can pull them apart; where there are fewer, some are left out. What
reads all tokens shares an old one's weight among its twins.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

NOISE = 0.02  # of the spread of a row's values


def rows_kept(before: int, after: int) -> Tensor:
    """Return which old group each new one comes from, int64 (after,)."""
    if after >= before:
        return torch.arange(after) % before
    return torch.arange(after) * before // after


def resize_rows(value: Tensor, after: int, dim: int) -> Tensor:
    """Bring the groups along ``dim`` to ``after``; twins differ a little."""
    kept = rows_kept(value.shape[dim], after).to(value.device)
    resized = value.index_select(dim, kept)
    twins = torch.arange(after, device=value.device) >= value.shape[dim]
    if twins.any():
        generator = torch.Generator().manual_seed(after)
        noise = torch.randn(resized.shape, generator=generator).to(value)
        shape = [1] * value.ndim
        shape[dim] = after
        spread = NOISE * value.std(unbiased=False)
        resized = resized + spread * noise * twins.view(shape)
    return resized


def resize_columns(value: Tensor, after: int) -> Tensor:
    """Bring what reads G tokens, (some, G), to ``after`` tokens.

    The sum over an old token's twins reads what the old token read; with
    fewer tokens the sum over all keeps its size.
    """
    before = value.shape[1]
    kept = rows_kept(before, after).to(value.device)
    if after >= before:
        shares = torch.bincount(kept, minlength=before)[kept]
        return value[:, kept] / shares
    return value[:, kept] * (before / after)


def resize_groups(
    state: Mapping[str, Tensor], wanted: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Return weights in the shapes that other numbers of groups ask for.

    Args:
        state: Weights by name: ``...group_token``, ``...downsample.mlp_inter``
            and ``...group_projector.1`` are looked at, others pass.
        wanted: Shapes by name.

    Raises:
        ValueError: A shape differs in something else than groups.
    """
    resized = {}
    for name, value in state.items():
        shape = wanted.get(name, value.shape)
        if value.shape != shape:
            value = resize(name, value, shape)
        resized[name] = value
    return resized


def resize(name: str, value: Tensor, shape: torch.Size) -> Tensor:
    """Bring one weight to another number of groups."""
    if name.endswith('group_token') and value.shape[2] == shape[2]:
        return resize_rows(value, shape[1], dim=1)
    mixer = 'mlp_inter.' in name or 'group_projector.1.' in name
    if mixer and 'fc1.weight' in name and value.shape[0] == shape[0]:
        return resize_columns(value, shape[1])
    if mixer and 'fc2.' in name and value.shape[1:] == shape[1:]:
        return resize_rows(value, shape[0], dim=0)
    raise ValueError(
        f'{name} is {tuple(value.shape)} in the checkpoint and '
        f'{tuple(shape)} here: only numbers of groups can be changed, not '
        'widths, depths or patches'
    )
