import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]


def load_tool():
    path = ROOT / 'tools/prepare/efficientnet_lite0.py'
    spec = importlib.util.spec_from_file_location('lite0', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


def packages_state() -> dict:
    """Write timm's own random weights under the package's names."""
    from timm import create_model

    state = create_model('tf_efficientnet_lite0').state_dict()
    original = {}
    for key, value in state.items():
        head, *rest = key.split('.')
        if head != 'blocks':
            back = {v: k for k, v in tool.OUTSIDE.items()}
            original['.'.join([back[head], *rest])] = value
            continue
        stage, number, layer, *rest = rest
        block = sum(tool.DEPTHS[: int(stage)]) + int(number)
        layers = tool.OTHERS if block else tool.FIRST
        back = {v: k for k, v in layers.items()}
        name = ['_blocks', str(block), back[layer], *rest]
        original['.'.join(name)] = value
    return original


@pytest.mark.parametrize(
    ('key', 'name'),
    [
        ('_conv_stem.weight', 'conv_stem.weight'),
        ('_bn1.running_mean', 'bn2.running_mean'),
        ('_fc.bias', 'classifier.bias'),
        ('_blocks.0._project_conv.weight', 'blocks.0.0.conv_pw.weight'),
        ('_blocks.1._expand_conv.weight', 'blocks.1.0.conv_pw.weight'),
        ('_blocks.4._bn2.bias', 'blocks.2.1.bn3.bias'),
        ('_blocks.15._depthwise_conv.weight', 'blocks.6.0.conv_dw.weight'),
    ],
)
def test_names_become_timms(key, name):
    assert tool.timm_name(key) == name


@pytest.mark.parametrize(
    'key', ['_blocks.16._bn0.weight', '_blocks.0._bn0.weight', 'head.weight']
)
def test_a_foreign_key_is_named(key):
    with pytest.raises(ValueError, match=f"'{key}' is no key of"):
        tool.timm_name(key)


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


def test_an_absent_package_is_an_error_with_its_remedy(monkeypatch):
    monkeypatch.setattr(tool, 'PACKAGE', 'no_such_package')
    with pytest.raises(FileNotFoundError, match='pip install'):
        tool.packaged_file()
