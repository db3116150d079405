"""The names that a GroupViT segments by, read by its own text encoder.

K names, T sentences a name, L positions, D common width.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmclip.clip.prompts import prompt_set
from mmclip.clip.vocabulary import check_names, phrases_by_name
from mmclip.groupvit.transforms import tokenizer_of

REMEMBERED = 512  # texts that came with samples


class OwnVocabulary:
    """Hold names and, once they are asked for, their embeddings.

    :class:`mmclip.clip.Vocabulary` belongs to a frozen CLIP: its embeddings
    live in checkpoints. These follow the weights of the model that they are
    part of, and are encoded again after others were loaded.

    Args:
        encode: From token ids (K, T, L) to unit embeddings (K, D).
        context_length: L.
        prompts: Prompt set or templates, see
            :func:`mmclip.clip.prompts.prompt_set`.
        phrases: What to say for a name instead of the name, one phrase or
            several, for every list of names that is set.
        silent: A name that is never encoded (the background's).
        tokenizer: See :func:`mmclip.groupvit.transforms.tokenizer_of`.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        context_length: int,
        *,
        prompts: str | Sequence[str] = 'single',
        phrases: Mapping[str, str | Sequence[str]] | None = None,
        silent: str | None = None,
        tokenizer: str = 'clip',
    ) -> None:
        self.encode, self.templates = encode, prompts
        self.prompts = prompt_set(prompts)
        self.spoken, self.silent = dict(phrases or {}), silent
        self.context_length, self.kind = context_length, tokenizer
        self.tokenizer = tokenizer_of(tokenizer, context_length)
        self.names: list[str] = []
        self.phrases: dict[str, list[str]] = {}
        self._table: Tensor | None = None
        self._known: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return len(self.names)

    def set(self, vocabulary, names: Sequence[str] | None = None) -> None:
        """Take other names.

        Args:
            vocabulary: Names, ``{name: [phrases]}``, or embeddings (K, D).
            names: The K names of embeddings.

        Raises:
            ValueError: A name is missing or repeated, or there are more or
                fewer embeddings than names.
        """
        if names is not None:
            self._take(torch.as_tensor(vocabulary), check_names(names))
            return
        if not isinstance(vocabulary, Mapping):
            listed = check_names(vocabulary)
            vocabulary = {n: self.spoken.get(n, n) for n in listed}
        self.phrases = phrases_by_name(vocabulary)
        self.names, self._table = list(self.phrases), None

    def _take(self, embeddings: Tensor, names: list[str]) -> None:
        if embeddings.ndim != 2 or len(embeddings) != len(names):
            raise ValueError(
                f'{len(names)} names came with embeddings of '
                f'{tuple(embeddings.shape)}: expected one row a name'
            )
        self.names, self.phrases = names, {}
        self._table = F.normalize(embeddings.float(), dim=-1)

    def sibling(self, names: Sequence[str]) -> 'OwnVocabulary':
        """Return a vocabulary of other names, read in the same way."""
        other = OwnVocabulary(
            self.encode,
            self.context_length,
            prompts=self.templates,
            tokenizer=self.kind,
        )
        other.set(list(names))
        return other

    @property
    def state(self) -> tuple:
        """All that :meth:`set` changes, to be put back later."""
        return self.names, self.phrases, self._table

    @state.setter
    def state(self, state: tuple) -> None:
        self.names, self.phrases, self._table = state

    def said(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the phrases of some of the names."""
        return {name: self.phrases.get(name, [name]) for name in names}

    def forget(self) -> None:
        """Drop what other weights encoded; the names stay."""
        self._known.clear()
        if self.phrases:
            self._table = None

    @property
    def embeddings(self) -> Tensor:
        """Unit embeddings (K, D); a row of zeros for the silent name.

        Raises:
            RuntimeError: There are no names.
        """
        if not self.names:
            raise RuntimeError(
                'there are no names to segment by: pass names=[...], add '
                "dict(type='mmclip.VocabularyHook') to custom_hooks, or call "
                'set_vocabulary(names)'
            )
        if self._table is None:
            key = repr(self.phrases)
            if key not in self._known:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[key] = self.read(self.phrases)
            self._table = self._known[key]
        return self._table

    @embeddings.setter
    def embeddings(self, table: Tensor) -> None:
        """Take a table (K', D) as it is; the names stay."""
        self._table = table

    def read(self, phrases: Mapping[str, Sequence[str]]) -> Tensor:
        """Encode each name's phrases, (K, D): their embeddings' mean.

        A phrase's own embedding is the mean over its sentences of features
        that are not normalised, as published.
        """
        said = [
            (name, phrase)
            for name, each in phrases.items()
            for phrase in each
            if name != self.silent
        ]
        if not said:
            raise ValueError(
                f'the only name is {self.silent!r}: name what else there is'
            )
        found = self.encode(self.tokenize([p for _, p in said]))  # (P, D)
        table = found.new_zeros(len(phrases), found.shape[1])
        rows = {name: k for k, name in enumerate(phrases)}
        owner = torch.tensor([rows[n] for n, _ in said], device=found.device)
        table.index_add_(0, owner, found)
        return F.normalize(table, dim=-1)

    def tokenize(self, phrases: Sequence[str]) -> Tensor:
        """Write phrases into all templates: ids (P, T, L)."""
        return torch.stack(
            [self.tokenizer(self.prompts.sentences(p)) for p in phrases]
        )
