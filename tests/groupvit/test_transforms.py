import numpy as np
import pytest
import torch

from mmclip.registry import TRANSFORMS

CAPTION = 'A dog and a cat near the boat'


def prompts(caption=CAPTION, **options):
    transform = TRANSFORMS.build(dict(type='mmclip.NounPrompts', **options))
    return transform(dict(caption=caption))['sentences']


def test_a_caption_and_prompts_of_its_nouns_come_out():
    np.random.seed(0)
    caption, *written = prompts(templates=['a photo of a {}.'])
    assert caption == CAPTION
    expected = [f'a photo of a {n}.' for n in ('boat', 'cat', 'dog')]
    assert sorted(written) == expected


def test_templates_and_nouns_are_drawn():
    drawn = {tuple(prompts(num_prompts=1)) for _ in range(20)}
    assert len(drawn) > 10


@pytest.mark.parametrize(
    ('caption', 'missing'), [('a dog', 2), ('of the', 3), ('', 3)]
)
def test_few_nouns_are_filled_up_with_the_caption(caption, missing):
    sentences = prompts(caption)
    assert len(sentences) == 4
    assert sentences[1:].count(caption) == missing


def test_no_prompts_leave_the_caption():
    assert prompts(num_prompts=0) == [CAPTION]


def test_sentences_become_ids_of_one_length():
    transform = TRANSFORMS.build(dict(type='mmclip.TokenizeSentences'))
    results = dict(caption=CAPTION, sentences=[CAPTION, 'word ' * 100])
    ids = transform(results)['tokens']
    assert ids.shape == (2, 77)
    assert ids.dtype == torch.int64
    assert ids[1, -1] == 49407
    alone = transform(dict(caption=CAPTION))['tokens']
    assert torch.equal(alone, ids[:1])
