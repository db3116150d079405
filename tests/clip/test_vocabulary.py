import copy
import io
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmclip.clip.prompts import prompt_set
from mmclip.clip.vocabulary import Vocabulary

NAMES = ['cat', 'hot_dog', 'bat (animal)']


class CountingEncoder(nn.Module):
    """Embed a sentence by hashing it, and count how often that is asked."""

    frozen = True
    calls = 0

    def encode(self, sentences):
        self.calls += 1
        seeds = [sum(map(ord, s)) for s in sentences]
        rows = [np.random.default_rng(s).standard_normal(8) for s in seeds]
        return F.normalize(torch.tensor(np.array(rows)).float(), dim=1)

    def fingerprint(self):
        return 'hashing'


@pytest.fixture
def counting():
    return CountingEncoder()


def table(rows=3, width=8):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(1))


def loaded(vocabulary, state):
    vocabulary.load_state_dict(state)
    return vocabulary


# What the embeddings are


@pytest.mark.parametrize('prompts', ['vild', 'detpro', 'single', ['a {}']])
@pytest.mark.parametrize('names', [NAMES[:1], NAMES])
def test_a_name_is_the_mean_of_its_unit_sentences(counting, prompts, names):
    v = Vocabulary(names, prompts=prompts, text_encoder=counting)
    for name, row in zip(names, v.embeddings):
        sentences = prompt_set(prompts).sentences(name)
        mean = counting.encode(sentences).mean(dim=0)
        torch.testing.assert_close(row, F.normalize(mean, dim=0))
    assert len(v) == len(names)
    assert v.names == names


def test_synonyms_share_one_mean_over_all_their_sentences(counting):
    v = Vocabulary(
        {'sofa': ['sofa', 'couch'], 'cat': 'cat'},
        prompts=['a {}', 'the {}'],
        text_encoder=counting,
    )
    four = counting.encode(['a sofa', 'the sofa', 'a couch', 'the couch'])
    torch.testing.assert_close(
        v.embeddings[0], F.normalize(four.mean(dim=0), dim=0)
    )
    assert v.names == ['sofa', 'cat']


def test_a_real_tower_gives_unit_rows_without_entering_the_state(encoder):
    v = Vocabulary(NAMES, prompts='single', text_encoder=encoder)
    assert v.embeddings.shape == (3, 24)
    torch.testing.assert_close(v.embeddings.norm(dim=1), torch.ones(3))
    assert set(v.state_dict()) == {'embeddings', 'packed_names'}
    assert list(v.parameters()) == []
    assert not hasattr(v, 'weight')


def test_a_config_builds_the_tower_through_the_registry(tiny_config):
    encoder = dict(type='mmclip.CLIPTextEncoder', model=tiny_config())
    before = copy.deepcopy(encoder)
    v = Vocabulary(NAMES, prompts='name', text_encoder=encoder)
    assert v.embeddings.shape == (3, 24)
    assert encoder == before


# Precomputed embeddings


@pytest.mark.parametrize('kind', ['tensor', 'array', 'list', '.npy', '.st'])
def test_precomputed_embeddings_are_brought_to_length_one(tmp_path, kind):
    from safetensors.torch import save_file

    given = 9 * table().half()
    if kind == 'array':
        given = given.numpy()
    elif kind == 'list':
        given = given.tolist()
    elif kind == '.npy':
        np.save(tmp_path / 'e.npy', given.numpy())
        given = str(tmp_path / 'e.npy')
    elif kind == '.st':
        save_file({'any': given}, tmp_path / 'e.safetensors')
        given = tmp_path / 'e.safetensors'
    v = Vocabulary(NAMES, embeddings=given, embed_dims=8)
    expected = F.normalize(table(), dim=1)
    torch.testing.assert_close(v.embeddings, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(v.embeddings.norm(dim=1), torch.ones(3))


def test_a_cache_file_brings_its_names_along(counting, cache):
    v = Vocabulary(NAMES, text_encoder=counting)
    (path,) = (cache / 'text').iterdir()
    again = Vocabulary(embeddings=str(path))
    assert again.names == NAMES
    assert torch.equal(again.embeddings, v.embeddings)


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (table(4), r'3 names need .*\(3, D\), got \(4, 8\)'),
        (table(8, 3), r'got \(8, 3\): pass the transpose'),
        (table()[0], r'got \(8,\)'),
        (table() * torch.tensor([[1], [0], [1]]), r'rows \[1\] are zero'),
        (table() / torch.tensor([[1], [1], [0]]), r'rows \[2\].*not finite'),
        (table() * float('nan'), r'rows \[0, 1, 2\]'),
        (table(3, 9), '9 wide but embed_dims=8'),
    ],
)
def test_unfit_embeddings_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(NAMES, embeddings=given, embed_dims=8)


@pytest.mark.parametrize('suffix', ['.npy', '.safetensors'])
def test_a_damaged_or_absent_embeddings_file_is_refused(tmp_path, suffix):
    path = tmp_path / f'e{suffix}'
    with pytest.raises(FileNotFoundError, match='no embeddings file'):
        Vocabulary(NAMES, embeddings=path)
    path.write_bytes(b'not numbers')
    with pytest.raises(ValueError, match='e.npy|e.safetensors'):
        Vocabulary(NAMES, embeddings=path)


def test_an_object_array_is_never_unpickled(tmp_path):
    np.save(tmp_path / 'e.npy', np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match='no array file'):
        Vocabulary(['x'], embeddings=tmp_path / 'e.npy')


# Names


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ([], 'the list is empty'),
        ({}, 'the list is empty'),
        (['cat', ' '], "entry 1 is ' '"),
        (['cat', ''], "entry 1 is ''"),
        (['cat', '_'], "entry 1 is '_'"),
        (['cat', 3], 'entry 1 is 3'),
        (['cat', 'dog', 'cat '], r"\['cat'\] stand there more than once"),
        ('cat', 'expected a list of strings'),
        ({'cat': []}, "phrases of 'cat': the list is empty"),
        ({'cat': ['']}, "phrases of 'cat': entry 0"),
    ],
)
def test_unfit_names_are_refused(counting, names, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(names, text_encoder=counting)


def test_names_without_an_encoder_are_refused():
    with pytest.raises(ValueError, match='need a text encoder'):
        Vocabulary(NAMES)


def test_an_unknown_prompt_set_is_refused_even_when_empty():
    with pytest.raises(ValueError, match="unknown prompt set 'vilt'.*vild"):
        Vocabulary(prompts='vilt', embed_dims=8)


def test_another_width_than_the_models_is_refused(counting):
    with pytest.raises(ValueError, match='8 wide but embed_dims=512'):
        Vocabulary(NAMES, text_encoder=counting, embed_dims=512)


# Changing it


def test_an_empty_vocabulary_waits_for_set(counting):
    v = Vocabulary(text_encoder=counting, embed_dims=8)
    assert len(v) == 0
    assert v.embeddings.shape == (0, 8)
    v.set(['cat'])
    assert v.names == ['cat']
    v.set({'pet': ['cat', 'dog']})
    assert v.names == ['pet']
    v.set(table(2), names=['a', 'b'])
    assert v.embeddings.shape == (2, 8)


def test_a_refused_set_leaves_the_vocabulary_as_it_was(counting):
    v = Vocabulary(NAMES, text_encoder=counting)
    before = v.embeddings.clone()
    with pytest.raises(ValueError, match='more than once'):
        v.set(['a', 'a'])
    with pytest.raises(ValueError, match='need embeddings of shape'):
        v.set(table(4), names=NAMES)
    assert v.names == NAMES
    assert torch.equal(v.embeddings, before)


# Checkpoints


def test_a_checkpoint_gives_an_empty_vocabulary_its_names(tmp_path):
    saved = nn.ModuleDict({'v': Vocabulary(NAMES, embeddings=table())})
    torch.save(saved.state_dict(), tmp_path / 'x.pth')
    state = torch.load(tmp_path / 'x.pth', weights_only=True)
    fresh = nn.ModuleDict({'v': Vocabulary(embed_dims=8)})
    fresh.load_state_dict(state)
    assert fresh['v'].names == NAMES
    assert torch.equal(fresh['v'].embeddings, saved['v'].embeddings)


def test_mmengines_own_saving_and_loading_keep_the_names(tmp_path):
    from mmengine.runner import load_checkpoint, save_checkpoint
    from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu

    saved = nn.Sequential(Vocabulary(['猫', 'cat'], embeddings=table(2)))
    state = weights_to_cpu(get_state_dict(saved))
    path = str(tmp_path / 'x.pth')
    save_checkpoint({'state_dict': state}, path)
    fresh = nn.Sequential(Vocabulary(embed_dims=8))
    load_checkpoint(fresh, path, strict=True)
    assert fresh[0].names == ['猫', 'cat']


def test_the_same_names_load_silently(recwarn):
    state = Vocabulary(NAMES, embeddings=table()).state_dict()
    loaded(Vocabulary(NAMES, embeddings=table()), state)
    assert not recwarn.list


def test_another_number_of_names_says_what_to_do():
    state = Vocabulary(NAMES, embeddings=table()).state_dict()
    v = Vocabulary(['x', 'y'], embeddings=table(2))
    with pytest.raises(
        ValueError,
        match='has 2 names but the checkpoint was saved with 3: pass '
        r'names=None .* or call model.set_vocabulary\(names\)',
    ):
        v.load_state_dict(state)
    assert v.names == ['x', 'y']


def test_other_names_of_the_same_number_are_refused():
    state = Vocabulary(NAMES, embeddings=table()).state_dict()
    others = ['cat', 'dog', 'bat (animal)']
    with pytest.raises(ValueError, match="name 1 is 'dog' here and 'hot_dog'"):
        loaded(Vocabulary(others, embeddings=table()), state)


def test_transfer_keeps_the_names_of_the_config():
    state = Vocabulary(NAMES, embeddings=table()).state_dict()
    own = Vocabulary(['x', 'y'], embeddings=table(2), transfer=True)
    assert loaded(own, state).names == ['x', 'y']
    assert own.embeddings.shape == (2, 8)
    empty = Vocabulary(embed_dims=8, transfer=True)
    assert loaded(empty, state).names == NAMES


def test_another_width_in_the_checkpoint_is_refused():
    state = Vocabulary(NAMES, embeddings=table()).state_dict()
    with pytest.raises(ValueError, match='8 wide but embed_dims=512'):
        loaded(Vocabulary(embed_dims=512), state)


def test_other_embeddings_of_the_same_names_are_taken_with_a_warning():
    state = Vocabulary(NAMES, embeddings=table()).state_dict()
    v = Vocabulary(NAMES, embeddings=-table())
    with pytest.warns(UserWarning, match='other text embeddings'):
        v.load_state_dict(state)
    assert torch.equal(v.embeddings, state['embeddings'])


def test_a_checkpoint_without_a_vocabulary_reports_it_missing():
    v = Vocabulary(NAMES, embeddings=table())
    assert set(v.load_state_dict({}, strict=False).missing_keys) == {
        'embeddings',
        'packed_names',
    }


def test_it_can_be_copied_pickled_and_cast(counting):
    import pickle

    v = Vocabulary(NAMES, text_encoder=counting)
    for other in (
        copy.deepcopy(v),
        pickle.loads(pickle.dumps(Vocabulary(NAMES, embeddings=table()))),
    ):
        assert other.names == NAMES
    assert v.half().embeddings.dtype == torch.float16
    buffer = io.BytesIO()
    torch.save(v.state_dict(), buffer)


# The cache


def test_the_second_vocabulary_asks_no_tower(counting):
    first = Vocabulary(NAMES, text_encoder=counting)
    second = Vocabulary(NAMES, text_encoder=counting)
    assert counting.calls == 1
    assert torch.equal(first.embeddings, second.embeddings)


def test_the_second_config_builds_no_tower(tmp_path, tiny_clip, tiny_config):
    from safetensors.torch import save_file

    from mmclip.clip import vocabulary

    path = tmp_path / 'tiny.safetensors'
    save_file(tiny_clip().state_dict(), path)
    config = dict(
        type='mmclip.CLIPTextEncoder',
        model=tiny_config(),
        pretrained=str(path),
    )
    first = Vocabulary(NAMES, prompts='single', text_encoder=config)
    vocabulary.shared_encoder.cache_clear()
    second = Vocabulary(NAMES, prompts='single', text_encoder=config)
    assert vocabulary.shared_encoder.cache_info().misses == 0
    assert torch.equal(first.embeddings, second.embeddings)
    changed = tiny_clip().state_dict()
    changed['ln_final.bias'] += 1
    save_file(changed, path)
    third = Vocabulary(NAMES, prompts='single', text_encoder=config)
    assert not torch.allclose(first.embeddings, third.embeddings)


@pytest.mark.parametrize(
    'change',
    [
        dict(prompts='detpro'),
        dict(prompts=['a {}']),
        dict(names=['cat', 'hot_dog', 'bat']),
        dict(names={n: [n, n + ' thing'] for n in NAMES}),
        dict(cache=False),
    ],
)
def test_anything_that_changes_the_embeddings_is_encoded(counting, change):
    Vocabulary(NAMES, text_encoder=counting)
    Vocabulary(**{'names': NAMES, 'text_encoder': counting, **change})
    assert counting.calls == 2


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'empty'])
def test_a_damaged_cache_file_is_rebuilt(counting, cache, damage):
    first = Vocabulary(NAMES, text_encoder=counting)
    (path,) = (cache / 'text').iterdir()
    whole = path.read_bytes()
    path.write_bytes(
        {
            'cut': whole[:-5],
            'flipped': whole[:-5] + bytes(5),
            'empty': b'',
        }[damage]
    )
    again = Vocabulary(NAMES, text_encoder=counting)
    assert counting.calls == 2
    assert torch.equal(first.embeddings, again.embeddings)
    Vocabulary(NAMES, text_encoder=counting)
    assert counting.calls == 2
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_cache_that_cannot_be_written_costs_a_warning(
    counting, tmp_path, monkeypatch
):
    (tmp_path / 'file').write_text('in the way')
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path / 'file'))
    with pytest.warns(UserWarning, match='set MMCLIP_CACHE'):
        v = Vocabulary(NAMES, text_encoder=counting)
    assert len(v) == 3


def test_a_trainable_encoder_is_never_cached(counting, cache):
    counting.frozen = False
    Vocabulary(NAMES, text_encoder=counting)
    assert not cache.exists()


WRITER = """
import sys, torch
from pathlib import Path
from mmclip.clip.cache import read_embeddings, write_embeddings
path, rows = Path(sys.argv[1]), torch.full((400, 64), float(sys.argv[2]))
for _ in range(20):
    write_embeddings(path, rows, ['x'] * 400)
    seen = read_embeddings(path, 400)
    assert seen is not None and seen.unique().numel() == 1, seen
"""


def test_two_processes_write_one_file_without_harm(tmp_path):
    path = tmp_path / 'shared.safetensors'
    writers = [
        subprocess.Popen([sys.executable, '-c', WRITER, str(path), value])
        for value in '12'
    ]
    assert [w.wait(timeout=120) for w in writers] == [0, 0]
    assert [p.name for p in tmp_path.glob('shared*')] == [path.name]


def test_the_names_of_lvis_are_read_in_an_instant(counting):
    names = [f'thing {k}' for k in range(1203)]

    Vocabulary(names, prompts=['{}'], text_encoder=counting)
    start = time.perf_counter()
    Vocabulary(names, prompts=['{}'], text_encoder=counting)
    assert counting.calls == 1
    assert time.perf_counter() - start < 0.5  # 0.02 on a quiet core
