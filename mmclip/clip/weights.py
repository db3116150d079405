"""Find CLIP weights, check them, and build the model they belong to.

``load_clip`` is the one door: a name of open_clip's, ``'shapes-clip'`` or a
config dict goes in, a model and its tokenizer come out. Nothing is fetched
unless a tag such as ``'openai'`` is named.
"""

import hashlib
import json
import os
import warnings
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from torch import nn

from mmclip.clip.checkpoint import fit_state, read_state
from mmclip.clip.download import check_sha256
from mmclip.clip.places import cache_dir, file_at_hand
from mmclip.clip.tokenizer import CLIPTokenizer

SHAPES_CLIP = 'shapes-clip'
SUFFIXES = ('.safetensors', '.pt', '.pth', '.bin', '.ckpt')
# Said on the projects' own pages; any other tag names its card as source.
LICENCES = {'openai': 'MIT', 'laion': 'MIT', 'metaclip': 'CC-BY-NC-4.0'}


@dataclass(frozen=True)
class WeightFile:
    """Say where a named weight file comes from and how it is known.

    Args:
        model: open_clip's name of the model.
        tag: open_clip's name of the weights.
        files: Names under which the file is looked for in the cache.
        source: Address or hub repository.
        sha256: Leading hex digits of the checksum, '' where none is known.
        licence: As far as known; otherwise the source's card says it.
    """

    model: str
    tag: str
    files: tuple[str, ...]
    source: str
    sha256: str
    licence: str


def weight_file(model: str, tag: str) -> WeightFile:
    """Look a tag up in open_clip's own table.

    Raises:
        ValueError: open_clip knows no such tag for ``model``.
    """
    import open_clip

    entry = open_clip.get_pretrained_cfg(model, tag)
    if not entry:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise ValueError(
            f"'{model}' has no weights '{tag}': open_clip lists "
            f'{", ".join(tags) or "none"}; a path ending in '
            f'{", ".join(SUFFIXES)} is taken as a local file'
        )
    url, hub = entry.get('url', ''), entry.get('hf_hub', '')
    published = [url.rsplit('/', 1)[-1]] if url else []
    licence = next((v for k, v in LICENCES.items() if tag.startswith(k)), '')
    return WeightFile(
        model=model,
        tag=tag,
        files=(*_placed_names(model, tag), *published),
        source=url or f'https://huggingface.co/{hub}',
        sha256=_published_sha256(url),
        licence=licence or 'see the card at the source',
    )


def _placed_names(model: str, tag: str) -> tuple[str, ...]:
    stem = f'{model.replace("/", "-")}-{tag}'
    return tuple(stem + suffix for suffix in SUFFIXES[:2])


def _published_sha256(url: str) -> str:
    """Read the checksum that OpenAI and open_clip write into an address."""
    if 'openaipublic' in url:
        return url.split('/')[-2]
    if 'mlfoundations' in url:
        return Path(url).stem.split('-')[-1]
    return ''


def find_weights(model: str, pretrained: str) -> Path:
    """Return the local path of ``pretrained``, fetching a tag if need be.

    Args:
        model: open_clip's name of the model.
        pretrained: A tag, or a path (known by its suffix or a separator).

    Raises:
        FileNotFoundError: The path does not exist.
        ConnectionError: The tag is not cached and cannot be fetched; the
            message says which file to put where.
        ValueError: The tag is unknown or its cached file is damaged.
    """
    if is_path(pretrained):
        path = Path(pretrained).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"there is no weight file '{path}'")
        return path
    known = weight_file(model, pretrained)
    placed = file_at_hand(known.files)
    if placed is None:
        return _fetch(known)
    if placed.name == known.files[-1]:
        check_sha256(placed, known.sha256)
    return placed


def is_path(pretrained: str) -> bool:
    """Tell a local file's name from a tag, whether or not it exists."""
    return Path(pretrained).suffix in SUFFIXES or '/' in pretrained


def _fetch(known: WeightFile) -> Path:
    import open_clip

    entry = open_clip.get_pretrained_cfg(known.model, known.tag)
    folder = cache_dir('weights')
    # The hub keeps its own cache (HF_HOME), which other programs share.
    into = None if entry.get('hf_hub') else str(folder)
    try:
        return Path(open_clip.download_pretrained(entry, cache_dir=into))
    except (OSError, RuntimeError, ValueError) as error:
        raise ConnectionError(
            f"cannot fetch the weights '{known.tag}' of '{known.model}' from "
            f'{known.source} ({error}). Without a network, download the file '
            f"elsewhere and put it at '{folder / known.files[0]}' (.pt where "
            'it is a .pt or .bin file), or pass pretrained=<its path>'
        ) from error


def load_clip(
    model: str | dict,
    pretrained: str | None = None,
    device: str = 'cpu',
    *,
    truncate: bool = False,
):
    """Build a CLIP model and its tokenizer.

    Args:
        model: ``'shapes-clip'`` (packaged), any open_clip model name, or an
            open_clip config dict (``embed_dim, vision_cfg, text_cfg``).
        pretrained: An open_clip tag, a local file, or ``None``: the packaged
            weights of shapes-clip, random ones otherwise.
        device: Where the model goes.
        truncate: Whether too long sentences are cut instead of refused.

    Returns:
        The open_clip model in eval mode and a callable that turns a list of
        N strings into ids, int64 (N, L).

    Raises:
        ValueError: The name, tag or config is unknown, or the file does not
            fit the model.
        FileNotFoundError: A local file is missing.
        ConnectionError: A tag can neither be found nor fetched.
    """
    if model == SHAPES_CLIP:
        from mmclip.clip.shapes_clip import load_shapes_clip

        clip, tokenizer = load_shapes_clip(pretrained)
        return clip.to(device).eval(), tokenizer
    name, config = model_config(model)
    state = None
    if pretrained is not None:
        path = find_weights(name, pretrained)
        state = read_state(path)
        config = _with_trained_activation(name, config, pretrained, state)
    clip = build_clip(config)
    if state is not None:
        fit_state(clip, state, f"'{path}'", f"'{name}'")
    _remember_normalisation(clip, name, pretrained)
    return clip.to(device).eval(), _tokenizer(name, config, truncate)


def model_config(model: str | dict) -> tuple[str, dict]:
    """Return a model's name and open_clip config.

    Raises:
        ValueError: open_clip knows no such name, or the dict lacks a part.
    """
    if isinstance(model, str):
        import open_clip

        name = model.replace('/', '-')  # OpenAI writes ViT-B/32
        known = open_clip.list_models()
        if name in known:
            return name, open_clip.get_model_config(name)
        near = get_close_matches(name, [*known, SHAPES_CLIP], n=4, cutoff=0.4)
        raise ValueError(
            f"unknown CLIP model '{model}': did you mean "
            f'{" or ".join(near) or SHAPES_CLIP}? See open_clip.list_models()'
        )
    missing = {'embed_dim', 'vision_cfg', 'text_cfg'} - set(model)
    if missing:
        raise ValueError(
            f"the CLIP config lacks {sorted(missing)}: it needs open_clip's "
            'embed_dim, vision_cfg and text_cfg'
        )
    return 'the given config', deepcopy(dict(model))


def build_clip(config: dict) -> nn.Module:
    """Build an open_clip model of ``config`` with random weights.

    Raises:
        ValueError: open_clip does not take the config.
    """
    from open_clip import CLIP, CoCa, CustomTextCLIP

    config = deepcopy(config)
    text, vision = config['text_cfg'], config['vision_cfg']
    if 'hf_model_name' in text:
        text['hf_model_pretrained'] = False
    if 'timm_model_name' in vision:
        vision['timm_model_pretrained'] = False
    custom = config.pop('custom_text', False) or 'hf_model_name' in text
    kind = CustomTextCLIP if custom else CLIP
    if 'multimodal_cfg' in config:
        kind = CoCa
    try:
        return kind(**config)
    except TypeError as error:
        raise ValueError(
            f'open_clip cannot build {config}: {error}'
        ) from error


def _with_trained_activation(
    name: str, config: dict, pretrained: str, state: dict
) -> dict:
    """Return ``config`` with the activation that the weights grew up with.

    Known for tags, from open_clip's table, and for OpenAI's own archives.
    """
    import open_clip

    entry = open_clip.get_pretrained_cfg(name, pretrained)
    # open_clip's table of 2024 did not say it of OpenAI's weights yet.
    quick = entry.get('quick_gelu', pretrained == 'openai')
    quick = quick or 'input_resolution' in state
    if not quick or config.get('quick_gelu', False):
        return config
    warnings.warn(
        f"'{pretrained}' was trained with QuickGELU, which '{name}' lacks: "
        f"it is built with it; write model='{name}-quickgelu' to say so",
        stacklevel=3,
    )
    return {**config, 'quick_gelu': True}


def _remember_normalisation(clip: nn.Module, name: str, pretrained) -> None:
    """Keep the colour mean and std on the image tower, as open_clip does."""
    import open_clip

    entry = open_clip.get_pretrained_cfg(name, pretrained or '')
    clip.visual.image_mean = entry.get('mean', open_clip.OPENAI_DATASET_MEAN)
    clip.visual.image_std = entry.get('std', open_clip.OPENAI_DATASET_STD)


def _tokenizer(name: str, config: dict, truncate: bool):
    import open_clip

    text = config['text_cfg']
    foreign = 'hf_tokenizer_name' in text or 'hf_model_name' in text
    if foreign or 'siglip' in name.lower():
        return open_clip.get_tokenizer(name)  # asks for transformers
    options = dict(text.get('tokenizer_kwargs') or {})
    options.pop('reduction_mask', None)  # how it shortens in training
    bpe = open_clip.SimpleTokenizer(**options) if options else None
    return CLIPTokenizer(
        bpe,
        context_length=text.get('context_length', 77),
        truncate=truncate,
    )


def file_fingerprint(path: str | Path) -> str:
    """Identify a file in milliseconds, without reading all of it.

    The hash covers its size, its time of change and 64 samples of 16 KiB.
    """
    status = os.stat(path)
    digest = hashlib.sha256(f'{status.st_size} {status.st_mtime_ns}'.encode())
    with open(path, 'rb') as file:
        for k in range(64):
            file.seek(k * status.st_size // 64)
            digest.update(file.read(1 << 14))
    return digest.hexdigest()


def weights_fingerprint(
    model: str | dict, pretrained: str | None = None
) -> str | None:
    """Identify what :func:`load_clip` would load, without loading it.

    Returns:
        A text that changes with the weights, or ``None`` for random ones.
    """
    architecture = json.dumps(model, sort_keys=True)
    if model == SHAPES_CLIP and pretrained is None:
        folder = Path(__file__).parent / 'assets'
        files = sorted(folder.glob(f'{SHAPES_CLIP}.*'))
        return ' '.join([SHAPES_CLIP, *map(file_fingerprint, files)])
    if pretrained is None:
        return None
    if is_path(pretrained):
        path = Path(pretrained).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"there is no weight file '{path}'")
        return f'{architecture} {file_fingerprint(path)}'
    placed = file_at_hand(_placed_names(str(model), pretrained))
    return f'{architecture} {pretrained} {placed and file_fingerprint(placed)}'
