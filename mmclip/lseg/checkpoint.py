"""Read Lightning's checkpoints without running what is pickled in them.

Lightning writes tensors beside the state of its callbacks and settings. The
latter name classes of its own; here each such name becomes an empty class,
so that torch's weights-only reader can pass over it.
"""

from pathlib import Path

import torch
from torch import Tensor

from mmclip.checkpoint import CheckpointError, load_from_local

# Only names that begin so are passed over; any other is an error.
PASSED_OVER = (
    'pytorch_lightning.',
    'lightning.',
    'lightning_fabric.',
    'argparse.Namespace',
    'collections.defaultdict',
    'pathlib.PosixPath',
)


class PassedOver(dict):
    """Stands where a checkpoint names a class that is not wanted."""

    def __new__(cls, *args, **kwargs):
        """Take any arguments and keep none."""
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        super().__init__()

    def __setstate__(self, state):
        """Keep nothing."""


def read_lightning(path: str | Path) -> dict[str, Tensor]:
    """Return the state dict of a Lightning, torch or safetensors file.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It asks to run something, is cut short, or holds no
            tensors.
    """
    try:
        stored = load_from_local(str(path), 'cpu')
    except CheckpointError:
        stand_ins = stand_ins_for(path)
        if not stand_ins:
            raise
        with torch.serialization.safe_globals(stand_ins):
            stored = torch.load(path, 'cpu', weights_only=True)
    state = stored.get('state_dict', stored)
    state = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    if not state:
        raise CheckpointError(
            f"'{path}' holds no tensors; its entries are {list(stored)[:5]}"
        )
    return state


def stand_ins_for(path: str | Path) -> list[tuple]:
    """Return (empty class, name) for what a file names, or nothing.

    Nothing is returned where a name is none of ``PASSED_OVER``, and where
    this torch cannot list the names.
    """
    listing = getattr(
        torch.serialization, 'get_unsafe_globals_in_checkpoint', None
    )
    if listing is None:
        return []
    try:
        named = listing(path)
    except (RuntimeError, ValueError):  # no zip archive
        return []
    if not all(name.startswith(PASSED_OVER) for name in named):
        return []
    return [(type('PassedOver', (PassedOver,), {}), name) for name in named]
