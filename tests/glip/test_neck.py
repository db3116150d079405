import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict

from tests.glip.tiny import (
    NAMES,
    WIDTH,
    WORDS,
    build,
    images,
    sample,
    tiny_bert,
    tiny_image_side,
)

FUSION = dict(
    type='mmclip.VLFusionNeck',
    in_channels=WIDTH,
    language_dim=WORDS,
    fusion=dict(embed_dim=32, num_heads=4),
    text_layer=dict(heads=2),
    num_layers=2,
)
ANCHORS = dict(
    type='mmdet.AnchorGenerator',
    ratios=[1.0],
    octave_base_scale=4,
    scales_per_octave=1,
    strides=[8, 16, 32],
)
NMS = dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5))


def single_stage(head: str) -> dict:
    assigner = dict(
        ATSSHead=dict(type='mmdet.ATSSAssigner', topk=9),
        RetinaHead=dict(
            type='mmdet.MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=-1,
        ),
    )[head]
    return dict(
        type='mmclip.TextConditionedSingleStage',
        **tiny_image_side(),
        language_model=tiny_bert(),
        fusion_neck=FUSION,
        bbox_head=dict(
            type=f'mmdet.{head}',
            num_classes=4,
            in_channels=WIDTH,
            feat_channels=WIDTH,
            stacked_convs=1,
            anchor_generator=ANCHORS,
            **(
                dict(norm_cfg=dict(type='GN', num_groups=4))
                if head == 'ATSSHead'
                else {}
            ),
            loss_cls=dict(
                type='mmdet.FocalLoss', use_sigmoid=True, loss_weight=1.0
            ),
            loss_bbox=(
                dict(type='mmdet.GIoULoss')
                if head == 'ATSSHead'
                else dict(type='mmdet.L1Loss')
            ),
        ),
        train_cfg=ConfigDict(
            assigner=assigner, allowed_border=-1, pos_weight=-1, debug=False
        ),
        test_cfg=ConfigDict(nms_pre=100, max_per_img=20, **NMS),
    )


def mask_rcnn() -> dict:
    from mmengine.config import Config

    from mmclip.jobs import find_config

    base = Config.fromfile(find_config('vild-text_r18_fpn_shapes')).model
    head = base.roi_head
    head.type = 'mmdet.StandardRoIHead'
    for key in ('bbox_roi_extractor', 'mask_roi_extractor'):
        head[key] = dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=WIDTH,
            featmap_strides=[8, 16, 32],
        )
    head.bbox_head = dict(
        type='mmdet.Shared2FCBBoxHead',
        in_channels=WIDTH,
        fc_out_channels=32,
        num_classes=4,
    )
    head.mask_head = dict(
        type='mmdet.FCNMaskHead',
        num_convs=1,
        in_channels=WIDTH,
        conv_out_channels=WIDTH,
        num_classes=4,
    )
    for key in set(head) - {
        'type',
        'bbox_roi_extractor',
        'mask_roi_extractor',
        'bbox_head',
        'mask_head',
    }:
        head.pop(key)
    base.train_cfg.rcnn.mask_size = 14
    return dict(
        type='mmclip.TextConditionedTwoStage',
        **tiny_image_side(),
        language_model=tiny_bert(),
        fusion_neck=FUSION,
        rpn_head=dict(
            type='mmdet.RPNHead',
            in_channels=WIDTH,
            feat_channels=WIDTH,
            anchor_generator=dict(
                type='mmdet.AnchorGenerator',
                scales=[4],
                ratios=[0.5, 1.0, 2.0],
                strides=[8, 16, 32],
            ),
        ),
        roi_head=head,
        train_cfg=base.train_cfg,
        test_cfg=base.test_cfg,
    )


MODELS = dict(
    RetinaNet=lambda: single_stage('RetinaHead'),
    ATSS=lambda: single_stage('ATSSHead'),
    MaskRCNN=mask_rcnn,
)


def samples():
    found = [sample(NAMES, [0, 2]), sample(NAMES, [1])]
    for one in found:
        truth = one.gt_instances
        masks = torch.zeros(len(truth), 64, 96).numpy().astype('uint8')
        masks[:, 10:30, 10:30] = 1
        truth.masks = BitmapMasks(masks, 64, 96)
    return found


@pytest.mark.parametrize('kind', MODELS)
def test_a_step_of_training_reaches_every_part(kind):
    detector = build(MODELS[kind]()).train()
    before = {k: v.clone() for k, v in detector.named_parameters()}
    losses, _ = detector.parse_losses(detector.loss(images(2), samples()))
    losses.backward()
    torch.optim.SGD(detector.parameters(), lr=0.1).step()
    for part in ('backbone', 'fusion_neck.fusions.1', 'language_model'):
        assert any(
            not torch.equal(value, before[name])
            for name, value in detector.named_parameters()
            if name.startswith(part)
        ), part


@pytest.mark.parametrize('kind', MODELS)
@torch.no_grad()
def test_what_is_found_depends_on_the_caption(kind):
    detector = build(MODELS[kind]()).eval()
    found = [
        detector.predict(images(), [sample(text)])[0].pred_instances
        for text in (NAMES, NAMES, ['cow'])
    ]
    torch.testing.assert_close(found[0].scores, found[1].scores)
    count = min(len(found[0]), len(found[2]))
    assert count
    assert not torch.allclose(found[0].scores[:count], found[2].scores[:count])


def test_without_captions_it_says_what_is_missing():
    detector = build(single_stage('RetinaHead'))
    with pytest.raises(RuntimeError, match='needs captions'):
        detector.extract_feat(images())
    with pytest.raises(ValueError, match='no text'):
        detector.loss(images(), [sample(None)])


def test_tensor_mode_reads_the_caption():
    detector = build(single_stage('ATSSHead')).eval()
    outputs = detector(images(), [sample(NAMES)], mode='tensor')
    assert outputs[0][0].shape == (1, 4, 8, 12)


def test_a_neck_may_have_no_language_layer():
    config = {**FUSION, 'text_layer': None, 'num_layers': 1}
    neck = build(config).eval()
    words = build(tiny_bert()).eval()(['cat', 'red circle'])
    levels, read = neck([torch.randn(2, WIDTH, 4, 6)], words)
    assert levels[0].shape == (2, WIDTH, 4, 6)
    assert read.shape == (2, 4, WORDS)
