# ViLD-text on the shapes world: no download, minutes on two CPU cores.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/shapes_detection.py',
    '../_base_/schedules/shapes_600.py', '../_base_/detection_runtime.py'
]

# ---- what you will want to change ----
vocabulary = dict(  # without names: those of the dataset in use
    type='mmclip.Vocabulary', prompts='single', embed_dims=128,
    text_encoder=dict(type='mmclip.CLIPTextEncoder', model='shapes-clip'))
# --------------------------------------

channels = 64
model = dict(
    type='mmclip.ViLD',
    data_preprocessor=dict(  # CLIP's own statistics, RGB
        mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323]),
    backbone=dict(
        depth=18, base_channels=16,
        frozen_stages=4,  # shapes-clip's image side as it is
        init_cfg=dict(
            type='Pretrained', checkpoint='mmclip://shapes-clip',
            prefix='visual.trunk.')),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=channels),
    rpn_head=dict(
        in_channels=channels, feat_channels=channels,
        anchor_generator=dict(scales=[4])),
    roi_head=dict(
        type='mmclip.ViLDRoIHead',
        bbox_roi_extractor=dict(out_channels=channels, finest_scale=14),
        bbox_head=dict(
            type='mmdet.Shared4Conv1FCBBoxHead',
            in_channels=channels, conv_out_channels=channels,
            fc_out_channels=256, reg_class_agnostic=True,
            cls_predictor_cfg=dict(
                type='mmclip.TextEmbeddingClassifier', vocabulary=vocabulary)),
        mask_roi_extractor=dict(out_channels=channels, finest_scale=14),
        mask_head=dict(
            num_convs=2, in_channels=channels, conv_out_channels=channels,
            class_agnostic=True)),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=200),
                   rcnn=dict(sampler=dict(num=32))),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100),
                  rcnn=dict(score_thr=1e-4, max_per_img=100)))

custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.RNGStateHook'),
    dict(type='mmclip.PicturesHook', count=16),
    dict(
        type='mmclip.ReportHook',
        metrics=[f'bbox_{g}_mAP_50' for g in ('base', 'novel', 'unseen')],
        next_steps=[
            'test it:    mmclip test {config} {checkpoint}',
            'detect:     mmclip detect IMAGE --text "red circle . blue square"'
            ' --model {work_dir}',
        ]),
]
