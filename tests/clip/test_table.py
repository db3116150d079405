import json

import numpy as np
import pytest
import torch

from mmclip.clip.table import EmbeddingTable
from mmclip.clip.vocabulary import Vocabulary

NAMES = ['cat', 'dog', 'cow']
TABLE = np.diag([3.0, 4.0, 5.0])


def test_any_names_in_any_order_come_from_the_table():
    table = EmbeddingTable(TABLE, NAMES)
    torch.testing.assert_close(
        table.encode(['cow', 'cat']), torch.eye(3)[[2, 0]]
    )


def test_a_vocabulary_takes_its_names_from_a_table():
    vocabulary = Vocabulary(
        prompts='name', text_encoder=EmbeddingTable(TABLE, NAMES)
    )
    vocabulary.set(['dog'])
    assert vocabulary.names == ['dog']
    torch.testing.assert_close(vocabulary.embeddings, torch.eye(3)[[1]])


def test_names_may_stand_in_a_text_file_or_in_coco_annotations(tmp_path):
    np.save(tmp_path / 'table.npy', TABLE)
    (tmp_path / 'names.txt').write_text('cat\ndog\n\ncow\n')
    categories = [dict(id=9 - i, name=n) for i, n in enumerate(NAMES[::-1])]
    (tmp_path / 'coco.json').write_text(json.dumps({'categories': categories}))
    for file in ('names.txt', 'coco.json'):
        table = EmbeddingTable(tmp_path / 'table.npy', tmp_path / file)
        assert list(table.row) == NAMES


def test_an_unknown_name_names_its_neighbours():
    with pytest.raises(ValueError, match="'dogs' is not among .* dog"):
        EmbeddingTable(TABLE, NAMES).encode(['dogs'])


@pytest.mark.parametrize(
    ('names', 'error'),
    [
        (['cat'], ValueError),
        (['cat', 'cat', 'dog'], ValueError),
        ('none.txt', FileNotFoundError),
        (None, ValueError),
    ],
)
def test_names_that_do_not_fit_are_an_error(names, error):
    with pytest.raises(error):
        EmbeddingTable(TABLE, names)
