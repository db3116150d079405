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


def test_words_that_are_left_out_make_no_prompt():
    sentences = prompts(
        'a photo of a dog', left_out=('photo',), templates=['{}']
    )
    assert sentences == ['a photo of a dog', 'dog', *['a photo of a dog'] * 2]


def test_a_pair_is_packed_for_the_pretrainer():
    pack = TRANSFORMS.build(dict(type='mmclip.PackImageText'))
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    packed = pack(dict(img=image, tokens='t', caption='c'))
    assert packed.keys() == {'inputs', 'tokens'}
    assert packed['inputs'].shape == (3, 2, 4)
    assert packed['inputs'][2, 1, 3] == image[1, 3, 2]


def test_the_words_of_the_shapes_world_have_their_own_ids():
    tokenize = TRANSFORMS.build(
        dict(
            type='mmclip.TokenizeSentences',
            tokenizer='shapes',
            context_length=8,
        )
    )
    ids = tokenize(dict(caption='a red star'))['tokens']
    assert ids.shape == (1, 8)
    assert ids.max() == ids[0, 4] == 65  # the end
    with pytest.raises(ValueError, match="unknown tokenizer 'bert'"):
        TRANSFORMS.build(
            dict(type='mmclip.TokenizeSentences', tokenizer='bert')
        )
