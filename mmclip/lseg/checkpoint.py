"""Read Lightning's checkpoints without running what is pickled in them.

Lightning writes tensors beside the state of its callbacks and settings. The
latter name classes of its own; here each such name becomes an empty class,
so that torch's weights-only reader can pass over it.
"""

from pathlib import Path

from torch import Tensor

from mmclip.checkpoint import CheckpointError, load_passing_over

# Only names that begin so are passed over; any other is an error.
PASSED_OVER = (
    'pytorch_lightning.',
    'lightning.',
    'lightning_fabric.',
    'argparse.Namespace',
    'collections.defaultdict',
    'pathlib.PosixPath',
)


def read_lightning(path: str | Path) -> dict[str, Tensor]:
    """Return the state dict of a Lightning, torch or safetensors file.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It asks to run something, is cut short, or holds no
            tensors.
    """
    stored = load_passing_over(path, PASSED_OVER)
    state = stored.get('state_dict', stored)
    state = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    if not state:
        raise CheckpointError(
            f"'{path}' holds no tensors; its entries are {list(stored)[:5]}"
        )
    return state
