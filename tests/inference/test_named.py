"""What a model's name stands for, and what answers without a name."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import mmclip
from mmclip import zoo
from mmclip.cli import main
from mmclip.inference import named
from mmclip.inference.detector import Detector
from mmclip.inference.named import source_of
from mmclip.inference.segmentor import Segmentor
from tests.clip.conftest import make_clip, make_config

IMAGE = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine that has no weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'caches'))
    return tmp_path


@pytest.fixture
def tiny_clip(machine, monkeypatch):
    """A tiny CLIP of open_clip's, whose weights lie in the cache."""
    config = make_config()
    config['vision_cfg'] = config['vision_cfg'] | dict(image_size=32)
    (machine / 'tiny-dense.json').write_text(json.dumps(config))
    open_clip.add_model_config(machine / 'tiny-dense.json')
    monkeypatch.setattr(
        named, 'CLIPS', (('ViT-B-16', 'openai'), ('tiny-dense', 'none'))
    )
    return machine


def test_without_a_name_a_published_glip_on_this_machine_is_taken(machine):
    glip_b = zoo.find_model('glip-b')
    path = machine / 'checkpoints' / glip_b.file_name
    path.parent.mkdir()
    path.write_bytes(b'')
    found = source_of(None)
    assert found.checkpoint.endswith(glip_b.file_name)
    assert found.config == glip_b.config
    glip_t = zoo.find_model('glip-t')
    (path.parent / glip_t.file_name).write_bytes(b'')
    assert source_of(None).config == glip_t.config


@pytest.fixture
def small_glip(machine, monkeypatch):
    return publish_small_glip(machine, monkeypatch)


def publish_small_glip(machine, monkeypatch) -> zoo.ZooModel:
    """Publish a GLIP-T of a hair's breadth in a folder of this machine."""
    from mmengine.config import Config

    from tests.glip.tiny import build, tiny_glip

    pipeline = [
        dict(type='mmdet.Resize', scale=(96, 64), keep_ratio=True),
        dict(type='mmdet.PackDetInputs'),
    ]
    cfg = Config(
        dict(
            default_scope='mmdet',
            model=tiny_glip(),
            test_dataloader=dict(dataset=dict(pipeline=pipeline)),
        )
    )
    cfg.dump(machine / 'small.py')
    source = machine / 'there' / 'glip_small.pth'
    source.parent.mkdir()
    torch.save(dict(state_dict=build(tiny_glip()).state_dict()), source)
    model = zoo.ZooModel(
        'glip-t_small',
        'GLIP',
        'detection',
        machine / 'small.py',
        weights=source.as_uri(),
    )
    monkeypatch.setattr(zoo, 'zoo_models', lambda: (model,))
    monkeypatch.setattr(named, 'DETECTORS', ('glip-t',))
    return model


def test_a_name_is_fetched_and_then_answers_without_one(small_glip):
    with pytest.raises(FileNotFoundError, match='mmclip models fetch'):
        Detector(device='cpu')
    by_name = Detector('glip-t', device='cpu')
    asked = dict(text='a red circle and a cat', score_thr=0.0)
    found = by_name(IMAGE, **asked)
    assert set(found['labels']) == {'a red circle', 'a cat'}
    default = Detector(device='cpu')
    assert default.checkpoint.endswith('cache/weights/glip_small.pth')
    assert (default(IMAGE, **asked)['scores'] == found['scores']).all()
    with pytest.raises(ValueError, match='does no segmentation'):
        Segmentor('glip-t', device='cpu')


def test_a_segmentor_is_no_detector(machine):
    with pytest.raises(ValueError, match='does no detection'):
        Detector('mmclip://groupvit-shapes', device='cpu')


def test_without_any_the_error_says_file_place_and_command(machine, capsys):
    with pytest.raises(FileNotFoundError) as told:
        mmclip.detect(IMAGE, 'dog')
    for said in (
        'glip_tiny_mmdet-c24ce662.pth',
        f'{machine}/cache/weights/glip_tiny_mmdet-c24ce662.pth',
        'mmclip models fetch glip-t',
        'https://download.openmmlab.com/',
    ):
        assert said in str(told.value)
    with pytest.raises(FileNotFoundError) as told:
        mmclip.segment(IMAGE, 'dog')
    for said in (
        f'{machine}/cache/weights/ViT-B-16-quickgelu-openai',
        '--model mmclip://ViT-B-16-quickgelu/openai',
    ):
        assert said in str(told.value)
    assert 'shapes' in str(told.value)


def test_a_shapes_model_answers_only_if_named(machine):
    with pytest.raises(FileNotFoundError):
        mmclip.segment(IMAGE, 'red circle . blue square')
    found = mmclip.segment(
        IMAGE,
        'background . red circle . blue square',
        model='mmclip://groupvit-shapes',
    )
    assert found['labels'].shape == (40, 50)
    dense = mmclip.segment(
        IMAGE, 'red circle . blue square', model='mmclip://shapes-clip'
    )
    assert set(np.unique(dense['labels'])) <= {0, 1, 255}


def test_names_of_packaged_models_are_those_of_their_configs(machine):
    by_config = source_of('clip-dense_shapes-clip_shapes')
    assert by_config == source_of('mmclip://shapes-clip')
    assert by_config.checkpoint is None
    assert source_of('groupvit_test_shapes').checkpoint.endswith(
        'groupvit-shapes.safetensors'
    )


def test_a_clip_as_it_is_segments_photographs(tiny_clip, monkeypatch):
    weights = tiny_clip / 'cache/weights/tiny-dense.pt'
    clip = make_clip()
    weights.parent.mkdir(parents=True)
    save_file(clip.state_dict(), weights.with_suffix('.safetensors'))
    config = named.dense_clip(
        'tiny-dense', str(weights.with_suffix('.safetensors'))
    )
    monkeypatch.setattr(
        named, 'best_segmentor', lambda: named.Source(None, config)
    )
    segmentor = Segmentor(device='cpu')
    with pytest.raises(ValueError, match='knows no names of its own'):
        segmentor(IMAGE)
    found = segmentor(IMAGE, 'sky: the sky | clouds . dog . other')
    assert found['names'] == ['sky', 'dog', 'other']
    assert found['labels'].shape == (40, 50)
    assert len(np.unique(found['labels'])) > 1


def test_the_first_clip_that_is_here_is_taken(tiny_clip, monkeypatch):
    taken = []
    monkeypatch.setattr(named, 'missing_clip', lambda clip, tag: iter(()))
    monkeypatch.setattr(named, 'dense_clip', lambda *c: taken.append(c) or c)
    assert source_of(None, None, 'segmentation').config == taken[0]
    assert taken == [named.CLIPS[0]]


@pytest.mark.parametrize(
    ('model', 'error', 'said'),
    [
        ('none.pth', FileNotFoundError, r'there is no checkpoint none\.pth'),
        ('work_dirs/none', FileNotFoundError, 'there is no checkpoint'),
        ('.', FileNotFoundError, 'train into it first'),
        ('glip-tt', ValueError, 'did you mean glip-t'),
        ('vild_r18', ValueError, 'mmclip train vild_r18_fpn_shapes'),
        ('mmclip://shape-clip', ValueError, 'is not packaged: groupvit-'),
        ('mmclip://ViT-B-99/openai', ValueError, 'unknown CLIP model'),
        ('mmclip://ViT-B-16/none', ValueError, "has no weights 'none'"),
    ],
)
def test_a_wrong_name_is_told(machine, model, error, said):
    with pytest.raises(error, match=said):
        source_of(model)


def test_a_named_model_that_cannot_be_fetched_says_where_to_put_it(
    machine, monkeypatch, capsys
):
    from mmclip.clip import download

    def unreachable(*args, **kwargs):
        raise OSError('Name or service not known')

    monkeypatch.setattr(download, 'urlopen', unreachable)
    path = machine / 'a.png'
    Image.fromarray(IMAGE).save(path)
    words = ['detect', str(path), '--text', 'dog', '--model', 'glip-t']
    assert main(words) == 1
    told = capsys.readouterr().err
    assert 'glip_tiny_mmdet-c24ce662.pth (Name or service not known)' in told
    assert f'{machine}/cache/weights/glip_tiny_mmdet-c24ce662.pth' in told


def test_a_checkpoint_of_another_model_is_no_answer(machine):
    path = machine / 'other.pth'
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), path)
    with pytest.raises(ValueError, match='none of its 1 tensors is of that'):
        Segmentor(path, config='groupvit_test_shapes', device='cpu')
    with pytest.raises(ValueError, match='does not hold its config'):
        Segmentor(path, device='cpu')


def test_a_checkpoint_of_another_size_is_no_answer(small_glip):
    weights = Path(zoo.fetch_model(small_glip, progress=False))
    saved = torch.load(weights)
    name = 'bbox_head.head.scales.0.scale'
    assert name in saved['state_dict']
    saved['state_dict'][name] = torch.ones(7)
    torch.save(saved, weights)
    with pytest.raises(ValueError, match=f'such as {name} .7., in the model'):
        Detector('glip-t', device='cpu')


def test_glip_without_its_word_list_says_where_it_goes(machine):
    from mmengine.config import Config

    from mmclip.glip.bert_words import with_words

    cfg = Config(dict(model=dict(language_model=dict(vocab_file='a.txt'))))
    with pytest.raises(FileNotFoundError, match='30522 lines'):
        with_words(cfg)
    words = machine / 'checkpoints/bert-base-uncased/vocab.txt'
    words.parent.mkdir(parents=True)
    words.write_text('[PAD]\n')
    found = with_words(cfg).model.language_model.vocab_file
    assert found.endswith('bert-base-uncased/vocab.txt')
    assert with_words(cfg) is cfg
