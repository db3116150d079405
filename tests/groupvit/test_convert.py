import pickle
import sys
import types

import numpy as np
import pytest
import torch

from mmclip.checkpoint import CheckpointError, read_checkpoint
from mmclip.cli import main
from mmclip.groupvit.convert import convert_state, read_released
from mmclip.registry import MODELS
from tests.groupvit.tiny import pretrainer


@pytest.fixture(scope='module')
def released():
    """Return an authors' state dict, no two entries alike."""
    torch.manual_seed(0)
    state = pretrainer().state_dict()
    return {
        k: torch.randn(v.shape) if v.is_floating_point() else v + 7
        for k, v in state.items()
    }


def arrays(state):
    return {k: v.numpy() for k, v in state.items()}


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(
        np.array_equal(ours[k], theirs[k]) for k in theirs
    )


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
@pytest.mark.parametrize('layout', ['ours', 'authors', 'hf'])
def test_a_checkpoint_survives_the_way_there_and_back(
    released, tmp_path, layout, suffix, capsys
):
    source, middle, back = (
        tmp_path / name for name in ('a.pth', f'b{suffix}', f'c{suffix}')
    )
    torch.save(dict(model=released, epoch=3), source)
    there = ['convert', 'groupvit', str(source), str(middle)]
    assert main([*there, '--layout', layout]) == 0
    printed = capsys.readouterr().out
    assert 'img_encoder.layers.0.blocks.0.attn.qkv.weight -> ' in printed
    again = ['convert', 'groupvit', str(middle), str(back)]
    assert main([*again, '--layout', 'ours']) == 0
    kept = arrays(released)
    if layout == 'hf':  # which has no place for it
        kept.pop('multi_label_logit_scale')
        assert 'left out: multi_label_logit_scale' in printed
    assert same(read_released(back), kept)


def test_the_file_builds_the_model_that_it_fits(released, tmp_path):
    from mmengine.config import Config

    torch.save(dict(model=released), tmp_path / 'a.pth')
    main(['convert', 'groupvit', *(str(tmp_path / n) for n in
          ('a.pth', 'b.safetensors'))])  # fmt: skip
    stored = read_checkpoint(str(tmp_path / 'b.safetensors'))
    cfg = Config.fromstring(stored['meta']['cfg'], '.py')
    model = MODELS.build(cfg.model)
    model.load_state_dict(stored['state_dict'])
    assert torch.equal(model.img_encoder.pos_embed,
                       released['img_encoder.pos_embed'])  # fmt: skip


def test_derived_entries_of_hugging_face_are_passed_over(released):
    theirs, _, _ = convert_state(arrays(released), 'hf')
    theirs['text_model.embeddings.position_ids'] = np.arange(9)[None]
    _, _, report = convert_state(theirs)
    assert report.complete
    assert report.derived == ['text_model.embeddings.position_ids']


@pytest.mark.parametrize('layout', ['authors', 'hf'])
def test_missing_and_unknown_entries_stop_it(released, layout, tmp_path):
    state, _, _ = convert_state(arrays(released), layout)
    lost = next(k for k in state if 'k_proj.weight' in k)
    del state[lost]
    state['extra.weight'] = np.ones(2, np.float32)
    _, _, report = convert_state(state)
    assert not report.complete
    assert any(name.split('.')[-2] in lost for name in report.absent)
    assert report.unused == ['extra.weight']
    torch.save({k: torch.from_numpy(np.array(v)) for k, v in state.items()},
               tmp_path / 'a.pth')  # fmt: skip
    target = tmp_path / 'b.pth'
    arguments = [str(tmp_path / 'a.pth'), str(target)]
    assert main(['convert', 'groupvit', *arguments]) == 1
    assert not target.exists()


def test_an_entry_of_another_shape_is_named(released):
    state = arrays(released)
    state['img_encoder.norm.weight'] = np.ones(5, np.float32)
    with pytest.raises(ValueError, match=r'img_encoder.norm.weight is \(5,\)'):
        convert_state(state)


def test_other_targets_and_layouts_are_refused(released, tmp_path, capsys):
    torch.save(dict(model=released), tmp_path / 'a.pth')
    assert main(['convert', 'groupvit', str(tmp_path / 'a.pth'), 'b.bin']) == 1
    assert "'b.bin' ends in neither" in capsys.readouterr().err
    with pytest.raises(ValueError, match="layout 'tf'"):
        convert_state(arrays(released), 'tf')


def test_settings_of_other_packages_are_passed_over(
    released, tmp_path, monkeypatch
):
    """The authors store their settings beside the weights."""
    module = types.ModuleType('omegaconf.dictconfig')

    class DictConfig(dict):
        def __reduce__(self):
            return (DictConfig, (), {'content': 1})

    DictConfig.__module__, DictConfig.__qualname__ = (
        'omegaconf.dictconfig',
        'DictConfig',
    )
    module.DictConfig = DictConfig
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'omegaconf', types.ModuleType('omegaconf'))
        patch.setitem(sys.modules, 'omegaconf.dictconfig', module)
        torch.save(
            dict(model=released, config=DictConfig()), tmp_path / 'a.pth'
        )
    assert same(read_released(tmp_path / 'a.pth'), arrays(released))


class Harmful:
    def __reduce__(self):
        return (print, ('run!',))


def test_a_file_that_asks_to_run_something_is_refused(tmp_path, capsys):
    torch.save(dict(model=dict(a=Harmful())), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='It was not run'):
        read_released(tmp_path / 'a.pth')
    (tmp_path / 'b.pth').write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(CheckpointError):
        read_released(tmp_path / 'b.pth')
    assert 'run!' not in capsys.readouterr().out


def test_a_file_without_weights_says_what_it_holds(tmp_path):
    torch.save(dict(epoch=3), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r"holds no weights.*'epoch'"):
        read_released(tmp_path / 'a.pth')
