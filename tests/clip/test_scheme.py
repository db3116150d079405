import pytest
import torch
from mmdet.registry import MODELS
from mmengine.runner import CheckpointLoader

import mmclip.clip.scheme  # noqa: F401  registers mmclip://


def test_a_backbone_of_mmdet_starts_from_shapes_clip():
    backbone = MODELS.build(
        dict(
            type='mmdet.ResNet',
            depth=18,
            base_channels=16,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='mmclip://shapes-clip',
                prefix='visual.trunk.',
            ),
        )
    )
    backbone.init_weights()
    state = CheckpointLoader.load_checkpoint('mmclip://shapes-clip')
    own = backbone.state_dict()
    trunk = {k: v for k, v in state.items() if k.startswith('visual.trunk.')}
    assert len(trunk) == len(own)
    for name, value in own.items():
        torch.testing.assert_close(value, trunk[f'visual.trunk.{name}'])


def test_a_model_with_several_weights_needs_a_tag():
    with pytest.raises(ValueError, match='add their tag'):
        CheckpointLoader.load_checkpoint('mmclip://RN50')
