"""Weights that other programs have fetched are found."""

import pytest

from mmclip.clip.places import file_at_hand, weight_folders
from mmclip.clip.weights import find_weights


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Caches of a machine that has nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path / 'ours'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'caches'))
    monkeypatch.delenv('TORCH_HOME')
    return tmp_path


@pytest.mark.parametrize(
    'folder',
    [
        'ours/weights',
        'checkpoints',
        'caches/torch/hub/checkpoints',
        'caches/clip',
    ],
)
def test_each_folder_is_looked_into(home, folder):
    assert file_at_hand(['a.pth']) is None
    path = home / folder / 'a.pth'
    path.parent.mkdir(parents=True)
    path.write_bytes(b'')
    assert file_at_hand(['b.pth', 'a.pth']).resolve() == path


def test_ours_come_first(home):
    for folder in weight_folders():
        folder.mkdir(parents=True)
        (folder / 'a.pth').write_bytes(b'')
    assert file_at_hand(['a.pth']) == home / 'ours/weights/a.pth'


def test_torchs_own_variable_is_followed(home, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(home / 'other'))
    assert home / 'other/hub/checkpoints' in weight_folders()


def test_the_hubs_cache_is_looked_through(home, monkeypatch):
    import huggingface_hub

    url = 'https://huggingface.co/a/b/resolve/main/folder/c.bin'
    asked = []

    def cached(repository, name, revision):
        asked.append((repository, name, revision))
        return str(home / 'c.bin')

    monkeypatch.setattr(huggingface_hub, 'try_to_load_from_cache', cached)
    assert file_at_hand(['c.bin'], url) == home / 'c.bin'
    assert asked == [('a/b', 'folder/c.bin', 'main')]
    assert file_at_hand(['c.bin'], 'https://elsewhere.org/c.bin') is None


def test_what_openais_clip_has_fetched_is_used(home):
    path = home / 'caches/clip/RN101.pt'
    path.parent.mkdir(parents=True)
    path.write_bytes(b'cut')
    with pytest.raises(ValueError, match=r'RN101\.pt. is damaged'):
        find_weights('RN101', 'openai')
