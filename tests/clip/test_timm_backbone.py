import pytest
import torch
from safetensors.torch import save_file
from timm import create_model

from mmclip.clip.timm_backbone import FrozenTimmBackbone

MODEL = 'test_efficientnet'  # timm's smallest: 0.4 M parameters


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('timm') / 'weights.safetensors'
    save_file(create_model(MODEL).state_dict(), path)
    return path


def test_maps_are_those_of_the_weights(weights):
    backbone = FrozenTimmBackbone(MODEL, weights=weights, out_indices=(2, 4))
    backbone.init_weights()
    images = torch.randn(2, 3, 64, 64)
    maps = backbone(images)
    assert [m.shape[-1] for m in maps] == [8, 2]
    whole = create_model(MODEL)
    from safetensors.torch import load_file

    whole.load_state_dict(load_file(weights))
    features = whole.eval().forward_intermediates(
        images, intermediates_only=True
    )
    torch.testing.assert_close(maps[1], features[-1])


def test_training_changes_nothing(weights):
    backbone = FrozenTimmBackbone(MODEL, weights=weights)
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    backbone.train()
    out = backbone(torch.randn(2, 3, 64, 64))
    assert not any(m.requires_grad for m in out)
    assert not any(p.requires_grad for p in backbone.parameters())
    after = backbone.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in before)


def test_dilation_keeps_the_map_larger(weights):
    backbone = FrozenTimmBackbone(
        MODEL, weights=weights, out_indices=(4,), output_stride=16
    )
    assert backbone(torch.randn(1, 3, 64, 64))[0].shape[-2:] == (4, 4)


def test_an_absent_file_is_missed_when_weights_are_read(tmp_path):
    backbone = FrozenTimmBackbone(MODEL, weights=tmp_path / 'none.safetensors')
    with pytest.raises(FileNotFoundError, match='model.backbone.weights'):
        backbone.init_weights()


def test_weights_of_another_model_are_refused(tmp_path):
    path = tmp_path / 'other.safetensors'
    save_file({'conv.weight': torch.zeros(1)}, path)
    backbone = FrozenTimmBackbone(MODEL, weights=path)
    with pytest.raises(ValueError, match="not the state dict of timm's test_"):
        backbone.init_weights()
