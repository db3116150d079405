import pytest

from mmclip.clip import efficientnet_lite0 as lite0


def packages_state() -> dict:
    """Write timm's own random weights under the package's names."""
    from timm import create_model

    state = create_model('tf_efficientnet_lite0').state_dict()
    original = {}
    for key, value in state.items():
        head, *rest = key.split('.')
        if head != 'blocks':
            back = {v: k for k, v in lite0.OUTSIDE.items()}
            original['.'.join([back[head], *rest])] = value
            continue
        stage, number, layer, *rest = rest
        block = sum(lite0.DEPTHS[: int(stage)]) + int(number)
        layers = lite0.OTHERS if block else lite0.FIRST
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
    assert lite0.timm_name(key) == name


@pytest.mark.parametrize(
    'key', ['_blocks.16._bn0.weight', '_blocks.0._bn0.weight', 'head.weight']
)
def test_a_foreign_key_is_named(key):
    with pytest.raises(ValueError, match=f"'{key}' is no key of"):
        lite0.timm_name(key)


def test_an_absent_package_is_an_error_with_its_remedy(monkeypatch):
    monkeypatch.setattr(lite0, 'PACKAGE', 'no_such_package')
    with pytest.raises(FileNotFoundError, match='pip install'):
        lite0.packaged_file()
