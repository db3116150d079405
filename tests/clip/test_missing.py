import pytest

from mmclip.clip import missing
from mmclip.clip.missing import missing_clip

HUB = 'huggingface_hub.constants.HF_HUB_CACHE'


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    monkeypatch.setattr(HUB, str(tmp_path / 'hub'))
    return tmp_path / 'hub'


def test_shapes_clip_and_random_weights_are_always_there():
    assert list(missing_clip('shapes-clip')) == []
    assert list(missing_clip('ViT-B-32')) == []


def test_a_tag_says_which_file_goes_where(cache):
    ((what, fix),) = missing_clip('ViT-B/32', 'openai')
    assert "'openai' of 'ViT-B/32' are not on this machine" in what
    assert str(cache / 'weights/ViT-B-32-openai.safetensors') in fix


@pytest.mark.parametrize('suffix', ['safetensors', 'pt'])
def test_a_file_put_there_is_found(cache, suffix):
    (cache / 'weights').mkdir(parents=True)
    (cache / f'weights/ViT-B-32-openai.{suffix}').touch()
    assert list(missing_clip('ViT-B-32', 'openai')) == []


def test_the_hubs_own_cache_counts(hub):
    folder = hub / 'models--timm--vit_base_patch32_clip_224.openai'
    (folder / 'refs').mkdir(parents=True)
    (folder / 'refs/main').write_text('abc')
    (folder / 'snapshots/abc').mkdir(parents=True)
    (folder / 'snapshots/abc/open_clip_model.safetensors').touch()
    assert list(missing_clip('ViT-B-32', 'openai')) == []


@pytest.mark.parametrize(
    ('model', 'tag', 'near'),
    [('ViT-B-33', 'openai', 'ViT-B-32'), ('ViT-B-32', 'opnai', 'openai')],
)
def test_a_mistyped_name_shows_its_neighbours(model, tag, near):
    ((what, fix),) = missing_clip(model, tag)
    assert near in fix


def test_a_tower_of_transformers_asks_for_them(monkeypatch):
    monkeypatch.setattr(missing, 'find_spec', lambda name: None)
    ((what, fix),) = missing_clip('xlm-roberta-base-ViT-B-32')
    assert fix == 'pip install transformers'
