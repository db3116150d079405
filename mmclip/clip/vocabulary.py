"""Hold the names that a model tells apart, as text embeddings.

K names, P phrases (a name's prompts or synonyms), D embedding width.
"""

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmclip.clip.cache import cache_key, read_embeddings, write_embeddings
from mmclip.clip.embeddings import is_table, read_table, unit_rows
from mmclip.clip.places import cache_dir
from mmclip.clip.prompts import prompt_set
from mmclip.registry import MODELS

LAYOUT = 1  # of the cache: another number leaves older files unread


@MODELS.register_module()
class Vocabulary(nn.Module):
    """Hold K names and their unit text embeddings.

    Each phrase of a name is written into every template; the sentences'
    unit embeddings are averaged and brought to length 1 again (ViLD,
    sec. 3.2). The text tower is built only when no cache file has the answer,
    and is never part of the state dict.

    Args:
        names: The names; or ``{name: [phrases]}``, where the phrases and not
            the name are encoded; or ``None``: wait for a checkpoint,
            ``set``, or take the names stored with ``embeddings``.
        prompts: Prompt set or list of templates, as in
            :func:`mmclip.clip.prompts.prompt_set`.
        text_encoder: Config or instance of a text encoder with
            ``encode(sentences) -> (N, D)``, such as
            ``dict(type='mmclip.CLIPTextEncoder', model='shapes-clip')``.
        embeddings: Precomputed (K, D): an array, or the path of a .npy or
            .safetensors file. Any length; brought to 1 here.
        embed_dims: D, where it is known beforehand.
        cache: Whether encoded names are kept on disk.
        transfer: Whether these names stay when a checkpoint with others is
            loaded, to use a model on names that it was not trained with.

    Attributes:
        names (list[str]): The K names.
        embeddings (Tensor): Unit rows, float32 (K, D); a buffer.

    Raises:
        ValueError: Names are missing, blank or repeated, or embeddings have
            another size or are not finite.
        FileNotFoundError: The embeddings' file does not exist.

    Example:
        >>> table = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> vocabulary = Vocabulary(['cat', 'dog'], embeddings=table)
        >>> vocabulary.names, vocabulary.embeddings.tolist()
        (['cat', 'dog'], [[1.0, 0.0], [0.0, 1.0]])
    """

    def __init__(
        self,
        names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        *,
        prompts: str | Sequence[str] = 'vild',
        text_encoder: dict | nn.Module | None = None,
        embeddings=None,
        embed_dims: int | None = None,
        cache: bool = True,
        transfer: bool = False,
    ) -> None:
        super().__init__()
        prompt_set(prompts)  # an unknown set is an error now, not at first use
        self.prompts = prompts
        # In a tuple, so that it is no submodule and reaches no checkpoint.
        self._text_encoder = (text_encoder,)
        self.embed_dims = embed_dims
        self.cache = cache
        self.transfer = transfer
        self.names: list[str] = []
        self.register_buffer('embeddings', torch.zeros(0, embed_dims or 0))
        self.register_buffer('packed_names', pack([]))
        if embeddings is not None:
            self.set(embeddings, names)
        elif names is not None:
            self.set(names)

    def __len__(self) -> int:
        return len(self.names)

    def extra_repr(self) -> str:
        """Show the size and the first names."""
        shown = ', '.join(self.names[:3]) + (', ...' if len(self) > 3 else '')
        return f'{len(self)} names ({shown}), {self.embeddings.shape[1]} wide'

    def set(self, vocabulary, names: Sequence[str] | None = None) -> None:
        """Replace the names at run time.

        Args:
            vocabulary: Names, ``{name: [phrases]}``, or embeddings (K, D) as
                an array or a path, which then go with ``names``.
            names: The embeddings' names; ``None`` takes those stored in a
                .safetensors file.

        Raises:
            ValueError: As for the constructor, or names came without a text
                encoder.
        """
        if names is not None or is_table(vocabulary):
            table, stored = read_table(vocabulary)
            checked = check_names(stored if names is None else names)
            self._replace(checked, unit_rows(table, len(checked)))
            return
        phrases = phrases_by_name(vocabulary)
        self._replace(list(phrases), self._encode(phrases))

    def _replace(self, names: list[str], embeddings: Tensor) -> None:
        width = embeddings.shape[1]
        if self.embed_dims not in (None, width):
            raise ValueError(
                f'the text embeddings are {width} wide but '
                f'embed_dims={self.embed_dims}: take the text encoder that '
                'the model was made for, or change embed_dims'
            )
        self.names = names
        self.embeddings = embeddings.to(self.embeddings)
        self.packed_names = pack(names).to(self.packed_names.device)

    def _encode(self, phrases: dict[str, list[str]]) -> Tensor:
        """Return the embeddings of phrases, from the cache if they are there.

        Args:
            phrases: Each name's phrases.
        """
        path = self._cache_file(phrases)
        known = path and read_embeddings(path, len(phrases))
        if known is not None:
            return known
        encoder = self._encoder()
        write = prompt_set(self.prompts).sentences
        sentences = [list(chain(*map(write, p))) for p in phrases.values()]
        embeddings = encode_names(encoder, sentences)
        if path is not None:
            write_embeddings(path, embeddings, list(phrases))
        return embeddings

    def _cache_file(self, phrases: dict[str, list[str]]) -> Path | None:
        encoder = self._text_encoder[0]
        if not self.cache or encoder is None:
            return None
        identity = fingerprint(encoder)
        if identity is None:
            return None
        recipe = vars(prompt_set(self.prompts))
        key = cache_key(LAYOUT, identity, recipe, list(phrases.values()))
        return cache_dir('text') / f'{key}.safetensors'

    def _encoder(self) -> nn.Module:
        encoder = self._text_encoder[0]
        if encoder is None:
            raise ValueError(
                'names need a text encoder: pass text_encoder='
                "dict(type='mmclip.CLIPTextEncoder', model=...), or "
                'embeddings= with the names'
            )
        if isinstance(encoder, nn.Module):
            return encoder
        try:
            built = shared_encoder(json.dumps(encoder, sort_keys=True))
        except TypeError:  # the config holds an object: it is ours alone
            built = MODELS.build(encoder)
            self._text_encoder = (built,)
        return built.to(self.embeddings.device)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        saved = state_dict.get(prefix + 'embeddings')
        packed = state_dict.get(prefix + 'packed_names')
        if saved is None or packed is None:
            super()._load_from_state_dict(state_dict, prefix, *args)
            return
        if self.transfer and self.names:
            return
        self._make_room(unpack(packed), saved)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _make_room(self, names: list[str], saved: Tensor) -> None:
        """Take on a checkpoint's names and size, if these are not others."""
        if self.names and self.names != names:
            raise ValueError(difference(self.names, names))
        if self.embed_dims not in (None, saved.shape[1]):
            raise ValueError(
                f'the checkpoint has text embeddings {saved.shape[1]} wide '
                f'but embed_dims={self.embed_dims}: it was trained with '
                'another text encoder'
            )
        if self.names and not same_table(self.embeddings, saved):
            warnings.warn(
                'the checkpoint has other text embeddings for the same names '
                '(another prompt set or text encoder): its own are taken; '
                'transfer=True keeps those of the config',
                stacklevel=2,
            )
        self.names = names
        self.embeddings = self.embeddings.new_zeros(saved.shape)
        self.packed_names = pack(names).to(self.packed_names.device)


def encode_names(encoder, sentences: list[list[str]]) -> Tensor:
    """Average each name's sentences into one unit embedding.

    Args:
        encoder: Has ``encode(list of N strings) -> (N, D)``, unit rows.
        sentences: For each of K names, its sentences.

    Returns:
        Unit embeddings, float32 (K, D).
    """
    counts = [len(s) for s in sentences]
    flat = encoder.encode(list(chain.from_iterable(sentences)))  # (N, D)
    means = [part.mean(dim=0) for part in flat.float().split(counts)]
    return F.normalize(torch.stack(means), dim=-1)  # (K, D)


def phrases_by_name(vocabulary) -> dict[str, list[str]]:
    """Return the phrases that describe each name.

    Args:
        vocabulary: Names, which then describe themselves, or a mapping of
            names to phrases (one string or several).

    Raises:
        ValueError: A name or phrase is missing, blank or repeated.
    """
    if not isinstance(vocabulary, Mapping):
        return {name: [name] for name in check_names(vocabulary)}
    names = check_names(list(vocabulary))
    phrases = [vocabulary[n] for n in names]
    phrases = [[p] if isinstance(p, str) else list(p) for p in phrases]
    for name, some in zip(names, phrases):
        check_names(some, f"phrases of '{name}'")
    return dict(zip(names, phrases))


def check_names(names, what: str = 'names') -> list[str]:
    """Return ``names`` as a list once each can be told from the others.

    Raises:
        ValueError: It is no list of strings, is empty, or has a blank or
            repeated entry.
    """
    if isinstance(names, str) or names is None:
        raise ValueError(f'{what}: expected a list of strings, got {names!r}')
    names = list(names)
    if not names:
        raise ValueError(f'{what}: the list is empty, expected at least one')
    for k, name in enumerate(names):
        if not isinstance(name, str) or not name.strip(' ._/'):
            raise ValueError(f'{what}: entry {k} is {name!r}, not a word')
    counts = Counter(name.strip() for name in names)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            f'{what}: {repeated[:5]} stand there more than once; give each '
            "its own name, as in {'screen': [...], 'crt screen': [...]}"
        )
    return names


def fingerprint(encoder: dict | nn.Module) -> str | None:
    """Identify a text encoder without building it if its class can tell."""
    if isinstance(encoder, nn.Module):
        moving = not getattr(encoder, 'frozen', True)
        if moving or not hasattr(encoder, 'fingerprint'):
            return None
        return encoder.fingerprint()
    options = dict(encoder)
    kind = options.pop('type')
    kind = kind if isinstance(kind, type) else MODELS.get(kind)
    if not hasattr(kind, 'config_fingerprint'):
        return None
    identity = kind.config_fingerprint(**options)
    return identity and f'{kind.__name__} {identity}'


@lru_cache(1)
def shared_encoder(config: str) -> nn.Module:
    """Build the encoder of a JSON config once for all vocabularies."""
    return MODELS.build(json.loads(config))


def same_table(own: Tensor, saved: Tensor) -> bool:
    """Tell whether two tables are one, up to half precision."""
    if own.shape != saved.shape:
        return False
    return torch.allclose(own, saved.to(own), atol=1e-2)


def difference(own: list[str], saved: list[str]) -> str:
    """Say how a vocabulary differs from the checkpoint's, and what to do."""
    if len(own) != len(saved):
        what = (
            f'the vocabulary has {len(own)} names but the checkpoint was '
            f'saved with {len(saved)}'
        )
    else:
        k = next(
            k for k, pair in enumerate(zip(own, saved)) if len({*pair}) > 1
        )
        what = (
            f'the vocabulary and the checkpoint both have {len(own)} names, '
            f"but name {k} is '{own[k]}' here and '{saved[k]}' there"
        )
    return (
        f'{what}: pass names=None to keep the saved one, transfer=True to '
        'keep yours, or call model.set_vocabulary(names)'
    )


def pack(names: list[str]) -> Tensor:
    """Write names as a uint8 tensor, which any checkpoint can carry."""
    return torch.tensor(list(json.dumps(names).encode()), dtype=torch.uint8)


def unpack(packed: Tensor) -> list[str]:
    """Read the names that :func:`pack` wrote."""
    return json.loads(bytes(packed.cpu().tolist()))
