import pytest
import torch

from mmclip.clip.tokenizer import CLIPTokenizer, cut_to_longest

AWKWARD = [
    'This is a photo of a Cat.',
    "it's 3 cafés &amp; naïve  spaces!!!",
    '',
    '猫',
    'a' * 200,
]


def test_ids_equal_open_clips():
    from open_clip import tokenize

    ids = CLIPTokenizer(truncate=True)(AWKWARD)
    assert torch.equal(ids, tokenize(AWKWARD))


def test_a_short_context_keeps_the_end_token():
    tokenizer = CLIPTokenizer(context_length=5, truncate=True)
    ids = tokenizer('one two three four five six')
    assert ids.shape == (1, 5)
    assert ids[0, -1] == ids.max()


def test_a_too_long_sentence_is_refused_with_its_length():
    with pytest.raises(ValueError, match=r'102 tokens.*77.*truncate=True'):
        CLIPTokenizer()('cat ' * 100)


def test_cutting_drops_only_shared_padding():
    ids = torch.tensor([[7, 9, 0, 0, 0], [7, 0, 3, 9, 0]])
    assert cut_to_longest(ids).tolist() == [[7, 9, 0, 0], [7, 0, 3, 9]]
