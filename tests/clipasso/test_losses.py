import pytest
import torch

from mmclip.clipasso.features import CLIPFeatures
from mmclip.clipasso.losses import CLIPGeometricLoss, CLIPSemanticLoss
from mmclip.registry import MODELS


def features(seed, count=2):
    generator = torch.Generator().manual_seed(seed)
    return CLIPFeatures(
        dict(
            layer2=torch.rand(count, 3, 4, 4, generator=generator),
            layer3=torch.rand(count, 5, 2, 2, generator=generator),
        ),
        torch.rand(count, 6, generator=generator),
    )


@pytest.mark.parametrize('metric', ['L2', 'L1', 'Cos'])
def test_equal_pictures_are_no_distance_apart(metric):
    loss = CLIPGeometricLoss(metric=metric)
    parts = loss(features(0), features(0))
    for value in parts.values():
        torch.testing.assert_close(value, torch.zeros(2), atol=1e-6, rtol=0)
    same = CLIPSemanticLoss()(features(0), features(0))['loss_semantic']
    torch.testing.assert_close(same, torch.zeros(2), atol=1e-6, rtol=0)


def test_the_mean_over_pictures_is_the_mean_over_all_elements():
    sketch, target = features(0), features(1)
    parts = CLIPGeometricLoss(dict(layer3=2.0), loss_weight=0.5)(
        sketch, target
    )
    assert list(parts) == ['loss_geometric_layer3']
    away = sketch.layers['layer3'] - target.layers['layer3']
    torch.testing.assert_close(
        parts['loss_geometric_layer3'].mean(), away.square().mean()
    )


def test_a_sketch_has_the_same_loss_alone_and_in_a_batch():
    sketch, target = features(0), features(1)
    for loss in (CLIPGeometricLoss(), CLIPSemanticLoss()):
        together = loss(sketch, target)
        alone = loss(sketch.rows([1]), target.rows([1]))
        for name, value in alone.items():
            torch.testing.assert_close(value[0], together[name][1])


def test_opposite_embeddings_are_farthest():
    sketch = features(0)
    target = CLIPFeatures({}, -3 * sketch.pooled)
    loss = CLIPSemanticLoss(loss_weight=0.1)(sketch, target)
    torch.testing.assert_close(loss['loss_semantic'], torch.full((2,), 0.2))


def test_missing_features_are_named():
    with pytest.raises(KeyError, match="lack 'block3'"):
        CLIPGeometricLoss(dict(block3=1.0))(features(0), features(1))
    with pytest.raises(ValueError, match='pooled=True'):
        CLIPSemanticLoss()(CLIPFeatures({}), CLIPFeatures({}))
    with pytest.raises(ValueError, match="metric is 'L3'"):
        CLIPGeometricLoss(metric='L3')


def test_losses_are_built_from_configs():
    loss = MODELS.build(dict(type='mmclip.CLIPSemanticLoss', loss_weight=1.0))
    assert loss.loss_weight == 1
    assert MODELS.build(dict(type='mmclip.CLIPGeometricLoss')).layers
