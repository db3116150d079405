import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmclip.clip.shapes_clip import load_shapes_clip
from mmclip.glip.tokenizer import (
    CLIPSpanTokenizer,
    WordPieceTokenizer,
    build_tokenizer,
)

SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
PIECES = [
    *('.', ',', '!', '-', '=', '猫', 'a', 'red', 'dog', 'cafe', 'hot', 'i'),
    *('un', '##aff', '##able', '##s', 'ᄒ', '##ᅡ', '##ᆫ', 'σ', '##σ', 'ß'),
]
TOKENIZERS = dict(
    wordpiece=WordPieceTokenizer(SPECIAL + PIECES),
    clip=CLIPSpanTokenizer(max_tokens=256),
)


@pytest.fixture
def tokenizer():
    return WordPieceTokenizer(SPECIAL + PIECES, max_tokens=16)


def read(tokenizer, text):
    names = {i: piece for piece, i in tokenizer.vocab.items()}
    encoding = tokenizer.encode(text)
    tokens = [names[i] for i in encoding.ids[1:-1]]
    return tokens, [text[a:b] for a, b in encoding.spans[1:-1]]


@pytest.mark.parametrize(
    ('text', 'tokens', 'characters'),
    [
        ('a red dog.', 'a red dog .', 'a red dog .'),
        ('Unaffable dogs', 'un ##aff ##able dog ##s', 'Un aff able dog s'),
        ('CAFÉ!', 'cafe !', 'CAFÉ !'),
        ('cafe\u0301 a', 'cafe a', 'cafe a'),  # the accent's span is cut off
        ('a猫dog', 'a 猫 dog', 'a 猫 dog'),
        ('hot\u200b-dog', 'hot - dog', 'hot - dog'),
        ('hot\u00a0\t\ndog', 'hot dog', 'hot dog'),
        ('do\u0000g\ufffd', 'dog', 'do\u0000g'),
        ('zebra dog', '[UNK] dog', 'zebra dog'),
        ('dogx', '[UNK]', 'dogx'),
        ('a ' + 'a' * 101, 'a [UNK]', 'a ' + 'a' * 101),
        ('a [MASK] dog', 'a [MASK] dog', 'a [MASK] dog'),
        ('a [mask] dog', 'a [UNK] [UNK] [UNK] dog', 'a [ mask ] dog'),
        ('\u2260', '=', '\u2260'),
        ('ΣΣ', 'σ ##σ', 'Σ Σ'),  # no final sigma, as in the fast tokenizer
        ('İ ẞ', 'i ß', 'İ ẞ'),
        ('', '', ''),
        ('  ', '', ''),
    ],
)
def test_words_are_cleaned_and_split(tokenizer, text, tokens, characters):
    found = characters.split(' ') if characters else []
    assert read(tokenizer, text) == (tokens.split(), found)


def test_signs_that_decompose_share_their_character(tokenizer):
    assert read(tokenizer, '한') == (['ᄒ', '##ᅡ', '##ᆫ'], ['한'] * 3)
    encoding = tokenizer.encode('한')
    assert encoding.by_character() == {0: 1}
    assert encoding.by_character(last=True) == {0: 3}


def test_a_word_of_a_hundred_letters_is_still_split():
    tokenizer = WordPieceTokenizer([*SPECIAL, 'a', '##a'])
    assert tokenizer.count('a' * 100) == 100
    assert tokenizer.count('a' * 101) == 1


def test_captions_are_padded_to_the_longest_or_to_a_length(tokenizer):
    ids, masks = tokenizer(['a red dog', ''])
    assert ids.shape == masks.shape == (2, 5)
    assert masks.sum(1).tolist() == [5, 2]
    assert ids[1].tolist() == [2, 3, 0, 0, 0]
    longer, _ = tokenizer(['a red dog', ''], length=16)
    assert longer.shape == (2, 16)
    assert torch.equal(longer[:, :5], ids)
    assert tokenizer([])[0].shape == (0, 0)


def test_a_too_long_caption_is_refused_or_cut(tokenizer):
    with pytest.raises(ValueError, match=r'17 tokens.*reads 16.*truncate'):
        tokenizer.encode('a ' * 15)
    assert len(tokenizer.encode('a ' * 14).ids) == 16
    cut = WordPieceTokenizer(SPECIAL + PIECES, max_tokens=16, truncate=True)
    encoding = cut.encode('a ' * 15)
    assert len(encoding.ids) == len(encoding.spans) == 16
    assert encoding.ids[-1] == cut.end


def test_the_vocabulary_may_be_a_file_a_list_or_a_dict(tmp_path, tokenizer):
    path = tmp_path / 'vocab.txt'
    path.write_bytes('\r\n'.join(SPECIAL + PIECES).encode())
    for source in (path, str(path), dict(tokenizer.vocab)):
        assert WordPieceTokenizer(source).vocab == tokenizer.vocab
    path.write_text('\n'.join(SPECIAL + PIECES) + '\n', encoding='utf8')
    assert len(WordPieceTokenizer(path)) == len(SPECIAL + PIECES)


def test_a_vocabulary_that_is_none_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match='bert-base-uncased'):
        WordPieceTokenizer(tmp_path / 'vocab.txt')
    with pytest.raises(ValueError, match=r"lacks \['\[MASK\]'\]"):
        WordPieceTokenizer(SPECIAL[:-1])


AWKWARD = [
    "it's 3 cafés &amp; naïve  spaces!!!",
    '猫 T-shirt.',
    '"smart" ﬁsh ½ it’s Ünïcode…',
    '😀 hi',
    '',
]


@pytest.mark.parametrize('text', AWKWARD)
def test_clips_byte_pairs_know_their_letters(text):
    tokenizer = CLIPSpanTokenizer()
    encoding = tokenizer.encode(text)
    assert encoding.ids == tokenizer.source.encode(text)
    covered = {c for a, b in encoding.spans for c in range(a, b)}
    assert covered == {c for c, x in enumerate(text) if not x.isspace()}


def test_pieces_of_clip_are_the_letters_they_stand_for():
    tokenizer = CLIPSpanTokenizer()
    text = 'headscarf, cafés'
    tokens, spans = tokenizer.encode(text)
    said = [tokenizer.bpe.decoder[i].removesuffix('</w>') for i in tokens]
    parts = [text[a:b] for a, b in spans]
    assert parts[1:4] == said[1:4]
    assert ''.join(parts) == text.replace(' ', '')


def test_shapes_clips_words_are_found_and_its_context_may_grow():
    _, own = load_shapes_clip()
    tokenizer = CLIPSpanTokenizer(own, max_tokens=64)
    text = 'a small Red ring, a star.'
    ids, spans = tokenizer.encode(text)
    assert ids == own.encode(text)
    assert [text[a:b] for a, b in spans[1:-1]] == [
        *('a', 'small', 'Red', 'ring', ',', 'a', 'star', '.')
    ]
    assert len(tokenizer.encode('a ' * 62).ids) == 64
    assert CLIPSpanTokenizer(own).max_tokens == own.context_length


@pytest.mark.parametrize('name', ['wordpiece', 'clip'])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=st.text(max_size=40))
def test_spans_are_in_order_and_in_the_text(name, text):
    tokenizer = TOKENIZERS[name]
    pieces = list(tokenizer.pieces(text))
    starts = [start for _, start, _ in pieces]
    assert starts == sorted(starts)
    for _, start, stop in pieces:
        assert 0 <= start < stop <= len(text)
        assert not text[start].isspace()
    encoding = tokenizer.encode(text)
    firsts, lasts = encoding.by_character(), encoding.by_character(last=True)
    assert firsts.keys() == lasts.keys()
    assert all(firsts[c] <= lasts[c] for c in firsts)


@pytest.mark.parametrize(
    'source',
    [
        'clip',
        'shapes-clip',
        dict(type='mmclip.CLIPSpanTokenizer', max_tokens=40),
        dict(type='mmclip.WordPieceTokenizer', vocab_file=SPECIAL + PIECES),
        WordPieceTokenizer(SPECIAL + PIECES),
    ],
)
def test_a_config_may_say_any_of_them(source):
    tokenizer = build_tokenizer(source)
    assert tokenizer.encode('a red').spans == [(0, 0), (0, 1), (2, 5), (0, 0)]
