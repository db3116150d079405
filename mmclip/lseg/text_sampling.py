"""Say a name in another way at each training step.

K names, S sentences over all names, D embedding width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mmclip.clip.prompts import prompt_set
from mmclip.registry import MODELS

REMEMBERED = 64  # lists of names whose sentences stay encoded


class TextSampling:
    """Draw one sentence a name from its phrases and the templates.

    A head that meets one fixed vector a name can learn the vector instead of
    the language around it. The sentences of a list of names are encoded once
    and kept; a step only picks rows, so no text tower runs in it.

    Args:
        vocabulary: Config of the :class:`mmclip.clip.Vocabulary` whose text
            encoder is used; the head passes its own.
        prompts: Prompt set or list of templates that are drawn from;
            ``'name'`` draws from the phrases alone.
        synonyms: ``{name: phrase or phrases}`` drawn from instead of what
            the vocabulary says for the name.
    """

    def __init__(
        self,
        vocabulary: dict,
        *,
        prompts: str | list[str] = 'vild',
        synonyms: Mapping | None = None,
    ) -> None:
        self.prompts = prompt_set(prompts)
        # Each sentence is its own name, already written into its template.
        self.vocabulary = dict(vocabulary, names=None, prompts='name')
        self.synonyms = {
            name: [some] if isinstance(some, str) else list(some)
            for name, some in (synonyms or {}).items()
        }
        self._tables: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def sentences(self, said: Mapping[str, list[str]]) -> list[list[str]]:
        """Return every sentence of each name, K lists.

        Args:
            said: What the vocabulary says for each name.
        """
        write = self.prompts.sentences
        return [
            list(
                dict.fromkeys(
                    sentence
                    for phrase in self.synonyms.get(name, phrases)
                    for sentence in write(phrase)
                )
            )
            for name, phrases in said.items()
        ]

    def draw(self, said: Mapping[str, list[str]], like: Tensor) -> Tensor:
        """Return the unit embedding of one sentence a name, (K, D).

        Args:
            said: As in :meth:`sentences`.
            like: Gives device and precision.

        Raises:
            ValueError: The vocabulary has no text encoder, or that does not
                know a sentence.
        """
        table, rows, starts, counts = self._table(said)
        drawn = (torch.rand(len(counts)) * counts).long()
        return table[rows[starts + drawn.clamp(max=counts - 1)]].to(like)

    def _table(self, said) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return embeddings, and the rows, first row and count of names."""
        key = repr(said)
        if key not in self._tables:
            if len(self._tables) >= REMEMBERED:
                self._tables.pop(next(iter(self._tables)))
            self._tables[key] = self._encode(self.sentences(said))
        return self._tables[key]

    def _encode(self, sentences: list[list[str]]):
        unique = list(dict.fromkeys(s for some in sentences for s in some))
        built = MODELS.build(dict(self.vocabulary, names=unique))
        row = {sentence: k for k, sentence in enumerate(unique)}
        rows = torch.tensor([row[s] for some in sentences for s in some])
        counts = torch.tensor([len(some) for some in sentences])
        starts = counts.cumsum(0) - counts
        return built.embeddings.cpu(), rows, starts, counts
