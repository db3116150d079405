import torch
from mmdet.models.backbones import ResNet

from mmclip.models import ViLDResNet


def test_only_the_pooling_differs_from_mmdets():
    torch.manual_seed(0)
    ours = ViLDResNet(depth=50, base_channels=4)
    theirs = ResNet(depth=50, base_channels=4)
    ours.eval()
    theirs.eval()
    theirs.load_state_dict(ours.state_dict())
    image = torch.randn(1, 3, 64, 64)
    assert not torch.allclose(ours(image)[0], theirs(image)[0])
    theirs.maxpool = ours.maxpool
    for one, other in zip(ours(image), theirs(image)):
        torch.testing.assert_close(one, other)
