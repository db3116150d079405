import json
from pathlib import Path

import numpy as np
import pytest

from mmclip.vild.tf_variables import depth_of, plan, released_name

CASE = Path(__file__).parents[1] / 'golden/cases/vild'


def released(variant):
    with np.load(CASE / 'tf_checkpoint_variables.npz') as case:
        listed = json.loads(bytes(case[f'data_{variant}_json']))
    return [name for name, _ in listed]


@pytest.mark.parametrize(
    ('variant', 'count'),
    [('vild_r50', 425), ('ensemble_r50', 463), ('vild_r152', 935)],
)
def test_every_variable_of_a_release_has_one_place(variant, count):
    names = released(variant)
    steps = plan(names)
    assert len(names) == count
    assert set(steps) == set(names)
    assert len({step.key for step in steps.values()}) == count


@pytest.mark.parametrize(
    ('theirs', 'ours'),
    [
        ('resnet50/conv2d/kernel', 'backbone.conv1.weight'),
        ('resnet50/conv2d_1/kernel', 'backbone.layer1.0.downsample.0.weight'),
        ('resnet50/conv2d_3/kernel', 'backbone.layer1.0.conv2.weight'),
        ('resnet50/conv2d_12/kernel', 'backbone.layer2.0.conv1.weight'),
        (
            'resnet50/batch_normalization_52/moving_variance',
            'backbone.layer4.2.bn3.running_var',
        ),
        ('fpn/p6/bias', 'neck.fpn_convs.4.conv.bias'),
        ('fpn/p2-bn/gamma', 'neck.norms.0.weight'),
        ('rpn_head/rpn-1/kernel', 'rpn_head.rpn_convs.1.weight'),
        ('rpn_head/rpn-l6-bn-1/beta', 'rpn_head.rpn_norms.4.1.bias'),
        (
            'frcnn_layer_0/fast_rcnn_head/batch_normalization_4/gamma',
            'roi_head.bbox_head.shared_fcs.0.1.norm.weight',
        ),
        (
            'frcnn_layer_0/fast_rcnn_head/batch_normalization_6/gamma',
            'roi_head.image_head.shared_convs.0.bn.weight',
        ),
        (
            'frcnn_layer_0/fast_rcnn_head/distill-project-to-clip/bias',
            'roi_head.image_head.fc_cls.project.bias',
        ),
        ('mask_head/conv5-mask/bias', 'roi_head.mask_head.upsample.0.bias'),
    ],
)
def test_a_variable_goes_where_its_layer_is(theirs, ours):
    assert plan(released('ensemble_r50'))[theirs].key == ours


@pytest.mark.parametrize(
    'written',
    [
        'resnet152/batch_normalization_sim_clr_7/gamma',
        'resnet152/batch_normalization_7_sim_clr/gamma',
        'resnet152/batch_normalization_7/gamma:0',
    ],
)
def test_what_the_r152_release_added_to_names_is_left_out(written):
    plain = 'resnet152/batch_normalization_7/gamma'
    assert released_name(written) == plain
    assert plan([written])[written].key == plan([plain])[plain].key


def test_another_model_is_told_by_its_names():
    assert depth_of(released('vild_r152')) == 152
    with pytest.raises(ValueError, match=r"no ViLD .*'bert/x'"):
        depth_of(['bert/x'])
    with pytest.raises(ValueError, match='ResNet-18'):
        plan(['resnet18/conv2d/kernel'])
