"""Text embeddings that were computed elsewhere, looked up by name.

K names, D embedding width.
"""

from difflib import get_close_matches
from pathlib import Path

import torch
from mmengine.fileio import load
from torch import Tensor, nn

from mmclip.clip.vocabulary import check_names, read_table, unit_rows
from mmclip.registry import MODELS


@MODELS.register_module()
class EmbeddingTable(nn.Module):
    """Stand in for a text encoder where only its output is at hand.

    A :class:`mmclip.clip.Vocabulary` with this as ``text_encoder`` and
    ``prompts='name'`` takes any of the K names, in any number and order, with
    no text tower on the machine.

    Args:
        embeddings: (K, D) array, or the path of a .npy or .safetensors file;
            rows are brought to length 1.
        names: K names in the order of the rows; or the path of a text file
            with a name a line, or of COCO annotations, whose categories are
            taken in the order of their ids. None takes the names stored in a
            .safetensors file.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: Names and rows differ in number, or as in Vocabulary.

    Example:
        >>> table = EmbeddingTable(torch.eye(2), names=['cat', 'dog'])
        >>> table.encode(['dog'])
        tensor([[0., 1.]])
    """

    frozen = True

    def __init__(self, embeddings, names=None):
        super().__init__()
        table, stored = read_table(embeddings)
        names = check_names(stored if names is None else read_names(names))
        self.register_buffer(
            'table', unit_rows(table, len(names)), persistent=False
        )
        self.row = {name: i for i, name in enumerate(names)}

    def encode(self, names: list[str], **_) -> Tensor:
        """Return the unit embeddings (N, D) of N of the names.

        Raises:
            ValueError: A name is not in the table.
        """
        for name in names:
            if name not in self.row:
                near = get_close_matches(name, self.row, n=3, cutoff=0.5)
                raise ValueError(
                    f"'{name}' is not among the {len(self.row)} names of the "
                    f'table; near to it: {", ".join(near) or "none"}. Other '
                    'names need a text tower: text_encoder=dict(type='
                    "'mmclip.CLIPTextEncoder', model=...)"
                )
        return self.table[torch.tensor([self.row[n] for n in names])]

    def fingerprint(self) -> None:
        """Return None: a look-up needs no cache."""


def read_names(names) -> list[str]:
    """Return names given as a list or as the path of a file with them."""
    if not isinstance(names, (str, Path)):
        return list(names)
    path = Path(names).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of names '{path}'")
    if path.suffix == '.json':
        content = load(str(path))
        if isinstance(content, dict):
            content = [
                c['name']
                for c in sorted(content['categories'], key=lambda c: c['id'])
            ]
        return content
    return [
        line.strip()
        for line in path.read_text('utf8').splitlines()
        if line.strip()
    ]
