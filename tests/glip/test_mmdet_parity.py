"""A whole GLIP of ours finds what mmdet's finds with the same weights."""

import pytest
import torch
from mmengine.config import ConfigDict

from tests.glip.mmdet_glip import BERT, WIDTH, mmdet_glip
from tests.glip.tiny import (
    build,
    images,
    sample,
    tiny_bert,
    tiny_glip,
    tiny_image_side,
)

ASKED = ['red circle', 'blue square', 'cat']
ANCHORS = dict(
    type='mmdet.AnchorGenerator',
    ratios=[1.0],
    octave_base_scale=4,
    scales_per_octave=1,
    strides=[8, 16, 32, 64, 128],
)


def around(head: dict) -> dict:
    """What both detectors share: backbone, neck, ATSS, thresholds."""
    return dict(
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor'),
        backbone=tiny_image_side()['backbone'],
        neck=dict(
            type='mmdet.FPN',
            in_channels=[16, 32, 64],
            out_channels=256,
            num_outs=5,
            add_extra_convs='on_output',
            relu_before_extra_convs=True,
        ),
        bbox_head=dict(
            in_channels=256,
            feat_channels=256,
            num_dyhead_blocks=2,
            early_fuse=True,
            anchor_generator=ANCHORS,
            loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=2.0),
            loss_centerness=dict(
                type='mmdet.CrossEntropyLoss', use_sigmoid=True
            ),
            **head,
        ),
        train_cfg=dict(tiny_glip()['train_cfg'], debug=False),
        test_cfg=ConfigDict(
            nms_pre=1000,
            min_bbox_size=0,
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.6, offset=1),
            max_per_img=300,
        ),
    )


@pytest.fixture(scope='module')
def both():
    """Ours and mmdet's, with the same weights; scores spread out."""
    language = tiny_bert(width=WIDTH, heads=12, intermediate=64, dropout=0.0)
    head = dict(
        type='mmclip.GLIPHead',
        language_dim=WIDTH,
        text_layer=dict(intermediate=BERT.intermediate_size),
        fusion=dict(init_values=1 / 6),
        bbox_coder=dict(type='mmclip.GLIPBBoxCoder'),
        loss_cls=dict(type='mmclip.TokenFocalLoss'),
    )
    ours = build(
        dict(
            type='mmclip.GLIPDetector',
            language_model=language,
            **around(head),
        )
    )
    with torch.no_grad():
        ours.bbox_head.head.bias0.zero_()
        ours.bbox_head.head.log_scale.fill_(-4)
        ours.bbox_head.head.bbox_pred.weight.mul_(20)
        ours.bbox_head.head.centerness.weight.mul_(20)
    head = dict(
        type='mmdet.ATSSVLFusionHead',
        num_classes=80,
        bbox_coder=dict(
            type='mmdet.DeltaXYWHBBoxCoderForGLIP',
            target_stds=[0.1, 0.1, 0.2, 0.2],
        ),
        loss_cls=dict(
            type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        theirs = mmdet_glip(around(head), ours.language_model, patch)
    state = {
        name: value
        for name, value in ours.state_dict().items()
        if not name.startswith('language_model.')
    }
    theirs.load_state_dict(state)  # strict: the names are the same
    return ours.eval(), theirs.eval()


@torch.no_grad()
@pytest.mark.parametrize(('rescale', 'offset'), [(False, 1), (True, 0)])
def test_boxes_scores_and_labels_are_those_of_mmdet(both, rescale, offset):
    """With +1 in the IoU only where it is the same pixel.

    Mmdet suppresses boxes that were scaled back, we before, as published.
    """
    found = []
    for model in both:
        model.bbox_head.test_cfg.nms.offset = offset
        samples = [sample(tuple(ASKED)), sample(('dog', 'horse'))]
        found.append(model.predict(images(2), samples, rescale=rescale))
    for a, b in zip(*found):
        a, b = a.pred_instances, b.pred_instances
        assert len(a) == len(b) > 10
        assert len(a.labels.unique()) > 1
        torch.testing.assert_close(a.scores, b.scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(a.bboxes, b.bboxes, rtol=1e-4, atol=1e-3)
        assert a.labels.tolist() == b.labels.tolist()
        assert list(a.label_names) == list(b.label_names)


@torch.no_grad()
def test_losses_are_those_of_mmdet(both):
    losses = []
    for model in both:
        samples = [
            sample(tuple(ASKED), [0, 2]),
            sample(('dog', 'horse'), [1]),
        ]
        losses.append(model.loss(images(2), samples))
    assert set(losses[0]) == set(losses[1])
    for name, value in losses[1].items():
        torch.testing.assert_close(losses[0][name], value, rtol=1e-4, atol=0)
