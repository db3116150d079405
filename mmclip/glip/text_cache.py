"""Keep the words of captions that were read before.

B captions, L tokens.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class TextCache:
    """Ask a language model for each caption once.

    Args:
        size: Most captions kept; the least recently used one goes.
    """

    def __init__(self, size: int = 256) -> None:
        self.size = size
        self.kept: OrderedDict[str, dict[str, Tensor]] = OrderedDict()

    def clear(self) -> None:
        """Forget everything, as one must when weights change."""
        self.kept.clear()

    def __call__(
        self, language: Callable[[list[str]], dict], texts: Sequence[str]
    ) -> dict[str, Tensor]:
        """Return what ``language(texts)`` does, padded to the longest."""
        new = [t for t in dict.fromkeys(texts) if t not in self.kept]
        fresh = {}
        if new:
            read = language(new)
            lengths = read['masks'].sum(dim=1).tolist()
            for i, (text, length) in enumerate(zip(new, lengths)):
                fresh[text] = {k: v[i, :length] for k, v in read.items()}
        self.kept.update(fresh)
        parts = [self.kept[text] for text in texts]
        for text in texts:
            self.kept.move_to_end(text)
        while len(self.kept) > self.size:
            self.kept.popitem(last=False)
        return {
            key: torch.nn.utils.rnn.pad_sequence(
                [part[key] for part in parts], batch_first=True
            )
            for key in parts[0]
        }
