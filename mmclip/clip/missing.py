"""Say which weights and packages of a CLIP are not on this machine."""

from collections.abc import Iterator
from importlib.util import find_spec

from mmclip.clip.places import cache_dir, file_at_hand
from mmclip.clip.shapes_clip import WEIGHTS
from mmclip.clip.weights import (
    SHAPES_CLIP,
    WeightFile,
    is_path,
    model_config,
    weight_file,
)


def missing_clip(
    model: str | dict, tag: str | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (what ``load_clip(model, tag)`` would not find here, the fix).

    Nothing is fetched or built. A local file is left to the caller.

    Args:
        model: As for :func:`mmclip.clip.weights.load_clip`.
        tag: Its ``pretrained``.
    """
    if model == SHAPES_CLIP:
        if tag is None and not WEIGHTS.is_file():
            yield f'{WEIGHTS} is gone', 'install mmclip again'
        return
    try:
        name, config = model_config(model)
        known = weight_file(name, tag) if tag and not is_path(tag) else None
    except ValueError as error:
        what, _, fix = str(error).partition(': ')
        yield what, fix
        return
    if reads_with_transformers(config) and find_spec('transformers') is None:
        yield (
            f"the text tower of '{model}' needs the package 'transformers'",
            'pip install transformers',
        )
    if known and not file_at_hand(known.files) and not in_hub_cache(known):
        place_it = cache_dir('weights') / known.files[0]
        yield (
            f"the weights '{tag}' of '{model}' are not on this machine",
            f'the first run fetches {known.source}; without a network put '
            f"the file at '{place_it}' (.pt where it is a .pt or .bin file)",
        )


def reads_with_transformers(config: dict) -> bool:
    """Tell whether a CLIP's text side is built by transformers."""
    keys = {'hf_model_name', 'hf_tokenizer_name'}
    return not keys.isdisjoint(config['text_cfg'])


def in_hub_cache(known: WeightFile) -> bool:
    """Tell whether the hub's own cache holds a weight file."""
    import open_clip
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    hub = open_clip.get_pretrained_cfg(known.model, known.tag).get('hf_hub')
    repository, _, file = (hub or '').rpartition('/')
    names = [file] if file else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    return bool(repository) and any(
        isinstance(try_to_load_from_cache(repository, name), str)
        for name in names
    )
