import pytest
import torch

from mmclip.clipasso.pyramid import PixelPyramid
from mmclip.registry import MODELS


def test_it_averages_over_squares_and_lets_gradients_through():
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    seen = PixelPyramid(['scale1', 'scale4'])(images)
    assert seen.layers['scale1'].equal(images)
    torch.testing.assert_close(
        seen.layers['scale4'][0, 1, 0, 1], images[0, 1, :4, 4:].mean()
    )
    seen.layers['scale4'].sum().backward()
    assert images.grad.eq(1 / 16).all()
    assert seen.pooled is None


@pytest.mark.parametrize(
    'options',
    [dict(pooled=True), dict(layers=['layer2']), dict(layers=['scale0'])],
)
def test_what_it_cannot_see_is_refused(options):
    with pytest.raises(ValueError, match='no embedding'):
        PixelPyramid(**options)


def test_it_is_built_from_a_config():
    built = MODELS.build(dict(type='mmclip.PixelPyramid', layers=['scale2']))
    assert built.sides == [2]
