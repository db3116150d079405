"""Fold the batch norms of a frozen ResNet into its convolutions."""

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval


@torch.no_grad()
def fold_batch_norms(network: nn.Module) -> int:
    """Make each convolution do the work of the norm behind it, in place.

    In eval mode a batch norm only scales and shifts. Found are pairs named
    ``conv1`` and ``bn1`` (``conv2`` and so on), as in CLIP's and torchvision's
    ResNets, and neighbours in an ``nn.Sequential``. Results differ by
    rounding, about 1e-6 of them.

    Args:
        network: In eval mode. Its state dict changes.

    Returns:
        How many norms are gone.

    Raises:
        ValueError: It is in training mode.
    """
    if network.training:
        raise ValueError(
            'batch norms of a network in training mode cannot be folded: '
            'call eval() first'
        )
    pairs = []
    for module in network.modules():
        children = dict(module.named_children())
        names = list(children)
        if isinstance(module, nn.Sequential):
            pairs += [(module, *pair) for pair in zip(names, names[1:])]
        pairs += [
            (module, name, name.replace('conv', 'bn'))
            for name in names
            if name.startswith('conv')
        ]
    return sum(fold_pair(*pair) for pair in pairs)


def fold_pair(module: nn.Module, conv: str, norm: str) -> bool:
    """Fold one norm of a module, if the names are those of a pair."""
    first, second = (getattr(module, name, None) for name in (conv, norm))
    if not isinstance(first, nn.Conv2d):
        return False
    if not isinstance(second, nn.BatchNorm2d):
        return False
    setattr(module, conv, fuse_conv_bn_eval(first, second))
    setattr(module, norm, nn.Identity())
    return True
