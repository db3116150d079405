"""Read weight files of several kinds into one CLIP layout.

No foreign code runs: safetensors, weights-only pickles, and TorchScript
archives through their tensors alone.
"""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mmclip.clip.torchscript import is_torchscript, read_torchscript


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict, whatever it is wrapped in.

    Args:
        path: A .safetensors file, a pickle of tensors or a TorchScript
            archive such as OpenAI's.

    Raises:
        ValueError: The file is truncated, is no weight file, or holds
            something that only running foreign code could load.
    """
    try:
        if str(path).endswith('.safetensors'):
            return load_file(path)
        if is_torchscript(path):
            return read_torchscript(path)
        state = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"'{path}' is not a plain weight file: it {_beginning(path)} and "
            'will not be loaded, because unpickling it could run code; '
            f'save its state dict as .safetensors instead ({_first(error)})'
        ) from error
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        KeyError,
        OSError,
        ValueError,
    ) as error:
        raise ValueError(
            f"'{path}' is truncated or no weight file: it "
            f'{_beginning(path)}; fetch it again ({_first(error)})'
        ) from error
    return _unwrap(state, path)


def _unwrap(state, path) -> dict[str, Tensor]:
    for key in ('state_dict', 'model'):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state:
        raise ValueError(f"'{path}' holds no state dict")
    if all(key.startswith('module.') for key in state):
        state = {k.removeprefix('module.'): v for k, v in state.items()}
    return state


def _beginning(path) -> str:
    with open(path, 'rb') as file:
        head = file.read(24)
    size = Path(path).stat().st_size
    return f'has {size} bytes and begins with {head!r}'


def _first(error: Exception) -> str:
    return str(error).split('\n')[0][:120]


def fit_state(clip: nn.Module, state: dict, source: str, name: str) -> None:
    """Load ``state`` into an open_clip model, bringing it into its layout.

    Args:
        clip: The model to fill.
        state: Names and tensors as published.
        source: What the error message calls the weights.
        name: What it calls the model.

    Raises:
        ValueError: Names or shapes do not fit.
    """
    state = _in_layout(clip, state)
    own = clip.state_dict()
    missing = sorted(own.keys() - state.keys())
    foreign = sorted(state.keys() - own.keys())
    shapes = [
        f'{k} {tuple(state[k].shape)} for {tuple(own[k].shape)}'
        for k in own.keys() & state.keys()
        if own[k].shape != state[k].shape
    ]
    if missing or foreign or shapes:
        raise ValueError(
            f'the weights {source} do not fit the model {name}: '
            f'{len(missing)} missing {missing[:3]}, {len(foreign)} unknown '
            f'{foreign[:3]}, {len(shapes)} of another shape {shapes[:3]}; '
            'name the model that they were trained as'
        )
    clip.load_state_dict(state)


def _in_layout(clip: nn.Module, state: dict) -> dict:
    from open_clip import factory

    extra = ('input_resolution', 'context_length', 'vocab_size')
    state = {
        k: v
        for k, v in state.items()
        if k not in extra and not k.endswith('attn_mask')
    }
    state = factory.convert_state_dict(clip, state)
    if not hasattr(clip, 'positional_embedding'):
        state = factory.convert_to_custom_text_state_dict(state)
    for name in ('logit_scale', 'logit_bias'):
        own = getattr(clip, name, None)
        if own is not None and name in state:
            state[name] = state[name].reshape(own.shape)
    factory.resize_pos_embed(state, clip)
    factory.resize_text_pos_embed(state, clip)
    return state
