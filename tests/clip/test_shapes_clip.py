"""The packaged CLIP of the shapes world: layout, words and what it knows."""

import json
import re

import pytest
import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.tokenizer import SimpleTokenizer

import mmclip  # noqa: F401  (its mends let mmdet be imported)
from mmclip.clip.image import CLIPImageEncoder
from mmclip.clip.shapes_clip import (
    CONFIG,
    WEIGHTS,
    ShapesTokenizer,
    load_shapes_clip,
    read_config,
)
from mmclip.data.shapes import (
    COLOURS,
    SHAPES,
    TEXTURES,
    concepts,
    draw_portrait,
)


@pytest.fixture(scope='module')
def loaded():
    return load_shapes_clip()


@pytest.fixture(scope='module')
def model(loaded):
    return loaded[0]


@pytest.fixture(scope='module')
def tokenizer(loaded):
    return loaded[1]


def to_input(images):
    pixels = torch.stack([torch.from_numpy(i) for i in images])
    mean, std = (
        torch.tensor(v) * 255
        for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    )
    return ((pixels - mean) / std).permute(0, 3, 1, 2)


def test_the_packaged_file_is_small():
    assert WEIGHTS.stat().st_size <= 3_000_000


def test_the_model_is_an_open_clip_in_evaluation_mode(model):
    assert type(model).__name__ == 'CLIP'
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.parameters())


def test_missing_weights_say_how_to_make_them(tmp_path):
    with pytest.raises(FileNotFoundError, match='train_shapes_clip'):
        load_shapes_clip(tmp_path / 'none.safetensors')


def test_words_keep_the_byte_pairs_of_clips_tokenizer():
    config, bpe = read_config(), SimpleTokenizer()
    for word, ids in config['words'].items():
        assert bpe.encode(word) == ids, word
    kept = {0, bpe.sot_token_id, bpe.eot_token_id}.union(
        *config['words'].values()
    )
    assert config['bpe_ids'] == sorted(kept)


def test_every_row_of_the_token_table_has_a_use(model, tokenizer):
    rows = model.token_embedding.weight.shape[0]
    used = {i for ids in tokenizer.words.values() for i in ids}
    assert used | {0, rows - 2, rows - 1} == set(range(rows))


def test_ids_are_those_of_clips_tokenizer_renumbered(tokenizer):
    text = 'A photo of an orange checkered semicircle, left of a red star.'
    bpe_ids = read_config()['bpe_ids']
    ids = [bpe_ids[i] for i in tokenizer([text])[0]]
    assert ids == SimpleTokenizer()([text], 48)[0].tolist()


def test_a_single_string_is_one_text(tokenizer):
    assert tokenizer('red ring').shape == (1, tokenizer.context_length)
    assert tokenizer([]).shape == (0, tokenizer.context_length)


@pytest.mark.parametrize('word', ['dog', 'redring', 'rings', '!', '3'])
def test_an_unknown_word_is_named(tokenizer, word):
    with pytest.raises(ValueError, match=re.escape(f"the word '{word}'")):
        tokenizer(['a red ring', f'a {word}'])


def test_too_long_texts_are_refused(tokenizer):
    with pytest.raises(ValueError, match='reads 48'):
        tokenizer(['red ring ' * 30])


@pytest.mark.parametrize(
    'template',
    [
        '{}',
        'a {}',
        'the {}.',
        'a photo of a {}.',
        'a picture of the {}.',
        'there is a {} in the scene.',
        'this is a small {}.',
        'a large {} left of an {}.',
        'the {}, right of one {} and below an {}',
    ],
)
def test_templates_and_all_names_are_known(tokenizer, template):
    texts = [template.replace('{}', c.name) for c in concepts()]
    assert tokenizer(texts).shape == (672, tokenizer.context_length)


def test_every_word_of_the_world_is_known(tokenizer):
    assert {*COLOURS, *TEXTURES[1:], *SHAPES} <= set(tokenizer.words)


def test_what_stands_behind_the_end_does_not_matter():
    words = {'red': [5], 'ring': [7, 9]}
    ids = ShapesTokenizer(words, [0, 5, 7, 9, 20, 21], 6)(['Red ring'])
    assert ids.tolist() == [[4, 1, 2, 3, 5, 0]]
    assert ids.argmax(-1).tolist() == [4]


@pytest.mark.parametrize('side', [64, 97, 128])
def test_dense_features_average_to_the_embedding(model, side):
    image = torch.rand(2, 3, side, side)
    dense = CLIPImageEncoder(model).dense(image, normalize=False)
    assert dense.shape[:2] == (2, 128)
    torch.testing.assert_close(
        dense.mean((2, 3)), model.encode_image(image), rtol=1e-4, atol=1e-5
    )


def test_mmdets_resnet_takes_the_trunk_as_it_is(model):
    import mmdet.models.backbones.resnet as resnet

    backbone = resnet.ResNet(
        depth=18, base_channels=16, out_indices=(0, 1, 2, 3)
    )
    backbone.eval()  # returns nothing in mmdet
    state = model.visual.trunk.state_dict()
    missing, unexpected = backbone.load_state_dict(state, strict=False)
    assert (missing, unexpected) == ([], [])
    image = torch.rand(1, 3, 96, 96)
    torch.testing.assert_close(
        backbone(image)[-1],
        model.visual.trunk.forward_features(image),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ('split', 'least'), [('base', 0.95), ('novel', 0.95), ('unseen', 0.85)]
)
def test_it_names_single_objects_over_80_names(loaded, split, least):
    model, tokenizer = loaded
    listed = concepts(vocabulary='shapes-80')
    table = model.encode_text(
        tokenizer([f'a photo of a {c.name}.' for c in listed]), normalize=True
    )
    among = concepts(split, vocabulary='shapes-80')
    scenes = [draw_portrait((77, i), 64, among) for i in range(200)]
    found = (
        model.encode_image(to_input([s.image for s in scenes]), normalize=True)
        @ table.T
    )
    truth = torch.tensor([listed.index(s.objects[0].concept) for s in scenes])
    assert (found.argmax(1) == truth).float().mean() >= least


def test_the_configuration_is_open_clips(model):
    import open_clip

    config = json.loads(CONFIG.read_text())
    again = open_clip.CLIP(**config['model_cfg'])
    again.load_state_dict(model.state_dict())
    assert model.visual.image_mean == OPENAI_DATASET_MEAN or (
        list(model.visual.image_mean) == list(OPENAI_DATASET_MEAN)
    )
