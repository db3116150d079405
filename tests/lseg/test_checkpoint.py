import argparse
import os
import pickle
import sys
from types import ModuleType

import pytest
import torch

from mmclip.checkpoint import CheckpointError
from mmclip.lseg.checkpoint import read_lightning

WEIGHTS = {'net.a': torch.arange(3.0), 'net.b': torch.ones(2, 2)}


@pytest.fixture
def lightning(monkeypatch):
    """A package of the name that Lightning's pickles ask for."""
    package = ModuleType('pytorch_lightning')
    package.callbacks = ModuleType('pytorch_lightning.callbacks')

    class ModelCheckpoint:
        ran = []

        def __setstate__(self, state):
            self.ran.append('foreign code')

    ModelCheckpoint.__module__ = 'pytorch_lightning.callbacks'
    ModelCheckpoint.__qualname__ = 'ModelCheckpoint'
    package.callbacks.ModelCheckpoint = ModelCheckpoint
    monkeypatch.setitem(sys.modules, 'pytorch_lightning', package)
    monkeypatch.setitem(
        sys.modules, 'pytorch_lightning.callbacks', package.callbacks
    )
    return ModelCheckpoint


def same(found):
    return found.keys() == WEIGHTS.keys() and all(
        torch.equal(found[k], WEIGHTS[k]) for k in found
    )


def test_callbacks_are_passed_over_and_never_run(
    tmp_path, lightning, monkeypatch
):
    callback = lightning()
    callback.best = 3
    file = tmp_path / 'demo_e200.ckpt'
    torch.save(
        {
            'epoch': 200,
            'state_dict': WEIGHTS,
            'callbacks': {lightning: {'best': callback}},
            'hyper_parameters': argparse.Namespace(lr=0.004),
        },
        file,
    )
    monkeypatch.delitem(sys.modules, 'pytorch_lightning.callbacks')
    monkeypatch.delitem(sys.modules, 'pytorch_lightning')
    assert same(read_lightning(file))
    assert lightning.ran == []


class Harmful:
    def __init__(self, flag):
        self.flag = flag

    def __reduce__(self):
        return os.mkdir, (self.flag,)


def test_a_file_that_asks_to_run_anything_else_is_refused(tmp_path, lightning):
    flag = str(tmp_path / 'ran')
    file = tmp_path / 'bad.ckpt'
    torch.save(
        {
            'state_dict': WEIGHTS,
            'callbacks': {lightning: {}},
            'more': Harmful(flag),
        },
        file,
    )
    with pytest.raises(CheckpointError, match='asks to run'):
        read_lightning(file)
    assert not os.path.exists(flag)


@pytest.mark.parametrize('wrapped', [True, False])
def test_a_plain_state_dict_is_read(tmp_path, wrapped):
    file = tmp_path / 'minimal.ckpt'
    torch.save({'state_dict': WEIGHTS} if wrapped else WEIGHTS, file)
    assert same(read_lightning(file))


def test_safetensors_are_read(tmp_path):
    from safetensors.torch import save_file

    save_file(WEIGHTS, tmp_path / 'x.safetensors')
    assert same(read_lightning(tmp_path / 'x.safetensors'))


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({'epoch': 3}, tmp_path / 'x.ckpt')
    with pytest.raises(CheckpointError, match='holds no tensors'):
        read_lightning(tmp_path / 'x.ckpt')


def test_a_cut_or_foreign_file_is_refused(tmp_path):
    whole = tmp_path / 'whole.ckpt'
    torch.save({'state_dict': WEIGHTS}, whole)
    (tmp_path / 'cut.ckpt').write_bytes(whole.read_bytes()[:200])
    (tmp_path / 'pickle.ckpt').write_bytes(pickle.dumps({'a': 1}))
    for name in ('cut.ckpt', 'pickle.ckpt'):
        with pytest.raises(CheckpointError):
            read_lightning(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_lightning(tmp_path / 'none.ckpt')
