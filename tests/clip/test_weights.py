import warnings

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from mmclip.clip import weights
from mmclip.clip.weights import load_clip, weight_file, weights_fingerprint

QUICK = 'ViT-B-32-quickgelu'


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise FileNotFoundError('Failed to download file: no route')

    monkeypatch.setattr(open_clip, 'download_pretrained', refuse)


@pytest.fixture
def small(monkeypatch, tiny_config):
    """Let open_clip's names stand for tiny towers."""
    configs = {
        name: {**tiny_config(), 'quick_gelu': name == QUICK}
        for name in ('ViT-B-32', QUICK)
    }
    monkeypatch.setattr(
        open_clip, 'get_model_config', lambda name: configs[name]
    )


# Names


@pytest.mark.parametrize(
    ('model', 'near'),
    [('ViT-B-23', 'ViT-B-32'), ('shape-clip', 'shapes-clip'), ('zzz', '')],
)
def test_an_unknown_model_names_the_nearest(model, near):
    with pytest.raises(ValueError, match=f"'{model}'.*{near}"):
        load_clip(model)


def test_an_unknown_tag_lists_the_known_ones():
    with pytest.raises(ValueError, match="no weights 'opneai'.*openai"):
        load_clip('ViT-B-32', 'opneai')


def test_a_missing_file_is_not_taken_for_a_tag():
    with pytest.raises(FileNotFoundError, match="'nowhere/x.pt'"):
        load_clip('ViT-B-32', 'nowhere/x.pt')


def test_openais_checksum_comes_from_open_clips_table():
    known = weight_file(QUICK, 'openai')
    assert known.files[-1] == 'ViT-B-32.pt'
    assert len(known.sha256) == 64
    assert known.licence == 'MIT'
    laion = weight_file('ViT-B-32', 'laion2b_s34b_b79k')
    assert laion.source.startswith('https://huggingface.co/laion/')


# No network


def test_without_a_network_the_message_says_what_to_put_where(
    no_network, cache
):
    with pytest.raises(ConnectionError) as caught:
        load_clip('ViT-B-32', 'laion2b_s34b_b79k')
    said = str(caught.value)
    assert f'{cache}/weights/ViT-B-32-laion2b_s34b_b79k.safetensors' in said
    assert 'https://huggingface.co/laion/' in said
    assert 'no route' in said


def test_a_file_put_there_is_used(no_network, small, cache, tiny_clip):
    folder = cache / 'weights'
    folder.mkdir(parents=True)
    state = tiny_clip().state_dict()
    save_file(state, folder / 'ViT-B-32-laion2b_s34b_b79k.safetensors')
    clip, _ = load_clip('ViT-B/32', 'laion2b_s34b_b79k')
    assert torch.equal(clip.state_dict()['visual.proj'], state['visual.proj'])


def test_a_damaged_published_file_is_found_by_its_checksum(cache):
    folder = cache / 'weights'
    folder.mkdir(parents=True)
    (folder / 'ViT-B-32.pt').write_bytes(b'half a file')
    with pytest.raises(ValueError, match='damaged: its sha256'):
        load_clip(QUICK, 'openai')


def test_random_weights_need_no_network(no_network, small):
    clip, tokenizer = load_clip('ViT-B-32')
    assert not clip.training
    assert clip.encode_text(tokenizer(['a cat'])).shape == (1, 24)


# QuickGELU


def test_openai_weights_get_quickgelu_with_a_warning(
    small, tmp_path, monkeypatch, tiny_clip
):
    path = tmp_path / 'fetched.safetensors'
    save_file(tiny_clip().state_dict(), path)
    monkeypatch.setattr(
        open_clip, 'download_pretrained', lambda *a, **k: str(path)
    )
    with pytest.warns(UserWarning, match=f"write model='{QUICK}'"):
        guessed, tokenizer = load_clip('ViT-B-32', 'openai')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        named, _ = load_clip(QUICK, 'openai')
    ids = tokenizer(['a cat'])
    assert torch.equal(guessed.encode_text(ids), named.encode_text(ids))
    plain, _ = load_clip('ViT-B-32', str(path))
    assert not torch.allclose(plain.encode_text(ids), named.encode_text(ids))


# Config dicts


def test_a_config_dict_builds_a_tower_and_is_left_alone(tiny_config):
    config = tiny_config()
    clip, tokenizer = load_clip(config)
    assert config == tiny_config()
    assert tokenizer(['a', 'b']).shape == (2, 77)
    assert clip.visual.image_mean == open_clip.OPENAI_DATASET_MEAN


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(embed_dim=None), r"lacks \['embed_dim'\]"),
        (dict(colour='red'), 'colour'),
    ],
)
def test_an_unfit_config_is_refused(tiny_config, change, message):
    config = {**tiny_config(), **change}
    config = {k: v for k, v in config.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        load_clip(config)


def test_a_short_context_reaches_the_tokenizer(tiny_config):
    config = tiny_config()
    config['text_cfg'] = {**config['text_cfg'], 'context_length': 9}
    _, tokenizer = load_clip(config, truncate=True)
    assert tokenizer('cat ' * 20).shape == (1, 9)


# Identity


def test_the_fingerprint_knows_a_files_content(tmp_path, tiny_config):
    path = tmp_path / 'x.pt'
    config = tiny_config()
    seen = set()
    for content in (b'a' * 999, b'a' * 998 + b'b', b'a' * 1000):
        path.write_bytes(content)
        seen.add(weights_fingerprint(config, str(path)))
    assert len(seen) == 3
    assert weights_fingerprint(config) is None
    with pytest.raises(FileNotFoundError, match='no weight file'):
        weights_fingerprint(config, 'gone.pt')


def test_the_fingerprint_knows_model_and_tag():
    marks = {
        weights_fingerprint(model, tag)
        for model in ('ViT-B-32', 'ViT-B-16')
        for tag in ('openai', 'laion2b_e16')
    }
    assert len(marks) == 4
    assert weights_fingerprint('ViT-B-32', 'openai') in marks


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path))
    assert weights.cache_dir('text') == tmp_path / 'text'
    monkeypatch.delenv('MMCLIP_CACHE')
    assert weights.cache_dir('text').parts[-3:] == ('.cache', 'mmclip', 'text')
