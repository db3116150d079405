import importlib.util
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.clip.test_efficientnet_lite0 import packages_state

ROOT = Path(__file__).parents[2]


def load_tool():
    path = ROOT / 'tools/prepare/efficientnet_lite0.py'
    spec = importlib.util.spec_from_file_location('lite0', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


def test_a_whole_file_is_converted_and_nothing_else_is_left(tmp_path):
    state = packages_state()
    source = tmp_path / 'source.pth'
    torch.save(state, source)
    target = tmp_path / 'new' / 'lite0.safetensors'
    assert tool.main([str(target), '--weights', str(source)]) == 0
    written = load_file(target)
    assert len(written) == len(state) == 296
    assert torch.equal(written['conv_head.weight'], state['_conv_head.weight'])
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_weights_of_another_shape_are_refused(tmp_path, capsys):
    state = packages_state()
    state['_fc.bias'] = torch.zeros(7)
    source, target = tmp_path / 'source.pth', tmp_path / 'lite0.safetensors'
    torch.save(state, source)
    assert tool.main([str(target), '--weights', str(source)]) == 1
    assert 'does not fit' in capsys.readouterr().err
    assert not target.exists()
