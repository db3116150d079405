"""Remember which names had boxes in training.

At test time the others count as novel, whatever vocabulary is asked for.
K names.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mmclip.clip.vocabulary import pack, unpack


class BaseNames(nn.Module):
    """Hold the names trained with boxes; they travel in the checkpoint.

    Attributes:
        names (list[str]): Empty before a training.
    """

    def __init__(self):
        super().__init__()
        self.names: list[str] = []
        self.register_buffer('packed', pack([]))

    def set(self, names: Iterable[str]) -> None:
        """Replace the names."""
        names = list(names)
        if names != self.names:
            self.names = names
            self.packed = pack(names).to(self.packed.device)

    def novel_among(self, names: Sequence[str]) -> Tensor:
        """Tell which of ``names`` had no boxes in training, bool (K,)."""
        known = set(self.names)
        return torch.tensor(
            [name not in known for name in names], dtype=torch.bool
        )

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        packed = state_dict.get(prefix + 'packed')
        if packed is None:  # saved before there was a record: nothing to say
            return
        self.set(unpack(packed))
        super()._load_from_state_dict(state_dict, prefix, *args)


def novel_mask(names: Sequence[str], novel) -> Tensor:
    """Return which of ``names`` are meant by ``novel``, bool (K,).

    Args:
        names: K names.
        novel: Some of them, or a mask (K,).

    Raises:
        ValueError: A name is not in the vocabulary, or the mask is of another
            length.
    """
    if isinstance(novel, Tensor) or (novel and not isinstance(novel[0], str)):
        mask = torch.as_tensor(novel, dtype=torch.bool).cpu()
        if mask.shape != (len(names),):
            raise ValueError(
                f'novel is a mask of shape {tuple(mask.shape)} but the '
                f'vocabulary has {len(names)} names: give one entry a name'
            )
        return mask
    absent = sorted(set(novel) - set(names))
    if absent:
        raise ValueError(
            f'novel holds {absent[:5]}, which the vocabulary lacks: give '
            'names that are part of it'
        )
    return torch.tensor([name in set(novel) for name in names]).bool()
