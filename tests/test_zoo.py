"""Models are found by name, and their weights fetched and converted."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from mmclip import zoo
from mmclip.cli import main

GLIP_T = 'glip-t_swin-t_fpn_coco'


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Two models whose weights lie in a folder, and an empty machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path / 'cache'))
    source = tmp_path / 'there' / 'tiny.pth'
    source.parent.mkdir()
    source.write_bytes(b'weights')
    sha256 = hashlib.sha256(b'weights').hexdigest()
    first = zoo.ZooModel(
        *('tiny-a_coco', 'ViLD', 'detection', Path('tiny-a.py')),
        weights=source.as_uri(),
        sha256=sha256,
        licence='MIT',
        data='nothing',
        results=[dict(Task='Sleep', Dataset='Bed', Metrics=dict(AP=1.5))],
    )
    second = replace(
        first,
        name='tiny-b_coco',
        converter='mmclip convert groupvit SRC DST --layout ours',
    )
    third = replace(first, name='untrained', weights='')
    models = (first, second, third)
    monkeypatch.setattr(zoo, 'zoo_models', lambda: models)
    return models


def test_every_entry_of_the_metafiles_is_a_model():
    models = zoo.zoo_models()
    assert len({model.name for model in models}) == len(models) > 50
    for model in models:
        assert model.config.is_file(), model.name
        assert model.task, model.name
        assert model.weights == '' or '://' in model.weights
        if model.converter:
            words = model.converter.split()
            assert words[:2] == ['mmclip', 'convert'], model.name
            assert {'SRC', 'DST'} <= set(words), model.name


@pytest.mark.parametrize(
    ('name', 'found'),
    [
        (GLIP_T, GLIP_T),
        ('glip-t', GLIP_T),
        ('GLIP-T', GLIP_T),
        ('glip_t', GLIP_T),
        ('glip-l', 'glip-l_swin-l_fpn_coco'),
        ('vild_r18', 'vild_r18_fpn_shapes'),
    ],
)
def test_the_beginning_of_a_name_is_enough(name, found):
    assert zoo.find_model(name).name == found


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('glip-tt', 'did you mean glip-t'),
        ('gilp-t', 'did you mean glip-t'),
        ('lseg_vit-l16', 'may be any of'),
        ('vild-txet_r18_fpn_shapes', 'vild-text_r18_fpn_shapes'),
        ('xyz', 'no model is called'),
        ('', 'no model is called'),
    ],
)
def test_another_name_is_answered_with_the_nearest(name, said):
    with pytest.raises(ValueError, match=said):
        zoo.find_model(name)


def test_openmmlabs_names_hold_the_first_digits_of_the_checksum():
    assert zoo.find_model('glip-t').sha256 == 'c24ce662'


def test_weights_are_fetched_once(published, tmp_path):
    model = published[0]
    assert model.checkpoint() is None
    path = zoo.fetch_model(model, progress=False)
    assert path == tmp_path / 'cache/weights/tiny.pth'
    assert path.read_bytes() == b'weights'
    (tmp_path / 'there/tiny.pth').unlink()
    assert zoo.fetch_model(model, progress=False) == path


def test_a_file_in_checkpoints_is_taken(published, tmp_path):
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints/tiny.pth').write_bytes(b'weights')
    (tmp_path / 'there/tiny.pth').unlink()
    found = zoo.fetch_model(published[0], progress=False)
    assert found.resolve() == tmp_path / 'checkpoints/tiny.pth'


def test_weights_of_another_layout_are_converted(
    published, tmp_path, monkeypatch
):
    """With a tiny GroupViT in the authors' layout behind the address."""
    import torch

    from mmclip.registry import MODELS
    from tests.groupvit.test_from_pretraining import PRETRAINER

    model = published[1]
    state = MODELS.build(PRETRAINER).state_dict()
    torch.save(dict(model=state), tmp_path / 'there/tiny.pth')
    model = replace(model, sha256='')
    path = zoo.fetch_model(model, progress=False)
    assert path == tmp_path / 'cache/weights/tiny_mmclip.safetensors'
    assert path == model.checkpoint()
    (tmp_path / 'there/tiny.pth').unlink()
    assert zoo.fetch_model(model, progress=False) == path


def test_a_file_that_does_not_fit_is_not_converted(published, tmp_path):
    import torch

    torch.save(dict(model=dict(a=torch.zeros(1))), tmp_path / 'there/tiny.pth')
    model = replace(published[1], sha256='')
    with pytest.raises(ValueError, match='no GroupViT'):
        zoo.fetch_model(model, progress=False)
    assert model.checkpoint() is None


def test_weights_that_only_a_person_can_download_say_what_to_do(
    published, capsys, monkeypatch, tmp_path
):
    model = replace(
        published[1], name='tiny-c', weights='', source='https://a.org/view'
    )
    monkeypatch.setattr(zoo, 'zoo_models', lambda: (model,))
    place = tmp_path / 'cache/weights/tiny-c_mmclip.safetensors'
    command = f"mmclip convert groupvit SRC '{place}' --layout ours"
    with pytest.raises(ValueError, match='cannot be fetched') as told:
        zoo.fetch_model(model)
    assert 'https://a.org/view' in str(told.value)
    assert command in str(told.value)
    assert command in said(capsys, 'show', 'tiny-c')
    place.parent.mkdir(parents=True)
    place.write_bytes(b'converted')
    assert zoo.fetch_model(model) == place


def test_models_without_weights_say_how_to_train(published):
    with pytest.raises(ValueError, match='mmclip train untrained'):
        zoo.fetch_model(published[2])


# ---- from the command line ----


def said(capsys, *words, code=0):
    assert main(['models', *words]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_models_are_listed_by_method_task_and_what_is_here(published, capsys):
    assert len(said(capsys).splitlines()) == 3
    assert said(capsys, 'tiny').count('tiny-') == 2
    assert 'tiny-a_coco' in said(capsys, '--method', 'vild')
    assert 'tiny-a_coco' in said(capsys, '--task', 'detection')
    assert main(['models', '--task', 'sketching']) == 1
    assert main(['models', '--here']) == 1
    zoo.fetch_model(published[0], progress=False)
    capsys.readouterr()
    listed = said(capsys, '--here')
    assert 'tiny-a_coco' in listed
    assert 'here: ' in listed
    assert 'tiny-b_coco' not in listed


def test_all_that_is_known_of_a_model_is_shown(published, capsys, tmp_path):
    shown = said(capsys, 'show', 'tiny-b')
    for fact in ('tiny-a.py', 'MIT', 'groupvit SRC'):
        assert fact in shown
    assert published[1].sha256 in shown
    assert 'Sleep, Bed: AP 1.5' in shown
    assert f'goes to {tmp_path}/cache/weights/tiny.pth' in shown
    assert 'mmclip models fetch tiny-b_coco' in shown
    said(capsys, 'fetch', 'tiny-a', '--quiet')
    shown = said(capsys, 'show', 'tiny-a')
    assert f'{tmp_path}/cache/weights/tiny.pth' in shown
    assert 'goes to' not in shown


def test_fetching_shows_a_bar_and_the_file(published, capsys, tmp_path):
    assert main(['models', 'fetch', 'tiny-a']) == 0
    captured = capsys.readouterr()
    assert f'tiny-a_coco: {tmp_path}/cache/weights/tiny.pth' in captured.out
    assert 'tiny.pth' in captured.err


def test_offline_the_error_has_address_and_place(published, capsys, tmp_path):
    source = tmp_path / 'there/tiny.pth'
    source.unlink()
    told = said(capsys, 'fetch', 'tiny-a', code=1)
    assert source.as_uri() in told
    assert str(tmp_path / 'cache/weights/tiny.pth') in told
    assert 'Traceback' not in told


def test_a_damaged_download_is_not_kept(published, capsys, tmp_path):
    (tmp_path / 'there/tiny.pth').write_bytes(b'other weights')
    assert 'is damaged' in said(capsys, 'fetch', 'tiny-a', code=1)
    assert not list((tmp_path / 'cache').rglob('*.p*'))


def test_glip_brings_its_word_list(published, capsys, tmp_path, monkeypatch):
    from mmclip.glip import bert_words

    words = tmp_path / 'there/vocab.txt'
    words.write_text('[PAD]\n')
    monkeypatch.setattr(bert_words, 'URLS', (words.as_uri(),))
    glip = replace(published[0], method='GLIP')
    monkeypatch.setattr(zoo, 'zoo_models', lambda: (glip,))
    told = said(capsys, 'fetch', 'tiny-a', '--quiet')
    assert 'its word list: ' in told
    assert bert_words.bert_words().read_text() == '[PAD]\n'


def test_words_that_make_no_sense_are_told(published, capsys):
    assert 'takes one name' in said(capsys, 'show', code=1)
    assert 'takes one name' in said(capsys, 'fetch', 'a', 'b', code=1)
    assert 'did you mean' in said(capsys, 'show', 'tiny-aa', code=1)
