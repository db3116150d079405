import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmclip.clipasso.transforms import ApplyForegroundMask
from mmclip.clipasso.u2net import SalientForeground, U2Net

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)


def network(middle=4, out=8):
    torch.manual_seed(0)
    return U2Net([(middle, out)] * 6, [(middle, out)] * 5).eval()


@pytest.fixture
def weights(tmp_path):
    save_file(network().state_dict(), tmp_path / 'tiny.safetensors')
    return str(tmp_path / 'tiny.safetensors')


def test_the_small_one_has_the_published_names_and_size():
    small = U2Net([(16, 64)] * 6, [(16, 64)] * 5)
    state = small.state_dict()
    assert len(state) == 798
    assert state['stage1.rebnconv7.conv_s1.weight'].shape == (16, 16, 3, 3)
    assert state['stage5d.rebnconvin.conv_s1.weight'].shape == (64, 128, 3, 3)
    assert state['outconv.weight'].shape == (1, 6, 1, 1)
    assert sum(p.numel() for p in small.parameters()) == 1131181


def test_the_full_one_has_the_published_widths():
    down = [(32, 64), (32, 128), (64, 256), (128, 512), (256, 512), (256, 512)]
    up = [(16, 64), (32, 64), (64, 128), (128, 256), (256, 512)]
    with torch.device('meta'):
        full = U2Net(down, up)
    wide = full.stage5d.rebnconvin.conv_s1.weight.shape
    assert wide == (512, 1024, 3, 3)
    assert full.stage1d.rebnconvin.conv_s1.weight.shape == (64, 128, 3, 3)
    assert sum(p.numel() for p in full.parameters()) == 44009869


@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('size', [(64, 64), (33, 70)])
def test_each_pixel_of_a_picture_gets_a_share(count, size):
    with torch.no_grad():
        found = network()(torch.rand(count, 3, *size))
    assert found.shape == (count, *size)
    assert 0 < found.min() < found.max() < 1


def test_dilation_grows_where_maps_do_not_shrink():
    blocks = network()
    deep = [blocks.stage6.get_submodule(f'rebnconv{k}') for k in (1, 2, 3, 4)]
    assert [each.conv_s1.dilation[0] for each in deep] == [1, 2, 4, 8]
    back = [blocks.stage5d.get_submodule(f'rebnconv{k}d') for k in (3, 2, 1)]
    assert [each.conv_s1.dilation[0] for each in back] == [4, 2, 1]
    first = [blocks.stage1.get_submodule(f'rebnconv{k}') for k in (1, 6, 7)]
    assert [each.conv_s1.dilation[0] for each in first] == [1, 1, 2]


def test_it_masks_a_photograph_in_the_pipeline(weights):
    model = SalientForeground(weights, side=64)
    mask = model(IMAGE)
    assert mask.shape == (40, 56)
    assert mask.dtype == bool
    with torch.no_grad():  # half of the answer, whatever it is
        model.network.outconv.bias.fill_(1e3)
    assert model(IMAGE).all()
    step = ApplyForegroundMask(
        'model',
        dict(type='mmclip.SalientForeground', checkpoint=weights, side=64),
        whiten=False,
    )
    assert (step.network(IMAGE) == mask).all()


def test_other_weights_are_named(tmp_path):
    save_file(dict(a=torch.ones(1)), tmp_path / 'a.safetensors')
    with pytest.raises(ValueError, match='is no U2-Net'):
        SalientForeground(str(tmp_path / 'a.safetensors'))
