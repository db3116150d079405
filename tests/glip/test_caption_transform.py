import pytest

from mmclip.registry import TRANSFORMS
from tests.glip.words import tokenizer_of

KINDS = ('mmclip.SampleNegativeClasses', 'mmclip.PackNegativeCaptions')


@pytest.mark.parametrize('kind', KINDS)
def test_a_pipeline_is_built_where_the_vocabulary_is_not(kind, tmp_path):
    absent = str(tmp_path / 'vocab.txt')
    transform = TRANSFORMS.build(dict(type=kind, tokenizer=absent))
    with pytest.raises(FileNotFoundError, match=r'vocab\.txt'):
        assert transform.max_tokens


@pytest.mark.parametrize('kind', KINDS)
def test_a_caption_is_as_long_as_the_tokenizer_allows_or_shorter(kind):
    config = dict(type=kind, tokenizer=tokenizer_of(40))
    assert TRANSFORMS.build(config).max_tokens == 40
    assert TRANSFORMS.build(dict(config, max_tokens=9)).max_tokens == 9
