# GLIP on ResNet-18 at a quarter of its width, for the shapes world.
channels, width = 64, 64
model = dict(
    type='mmclip.GLIPDetector',
    data_preprocessor=dict(  # CLIP's own statistics, RGB
        type='mmdet.DetDataPreprocessor', bgr_to_rgb=True,
        mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323]),
    backbone=dict(
        type='mmdet.ResNet', depth=18, base_channels=16, frozen_stages=4,
        norm_eval=True, out_indices=(1, 2, 3),
        init_cfg=dict(
            type='Pretrained', checkpoint='mmclip://shapes-clip',
            prefix='visual.trunk.')),
    neck=dict(
        type='mmdet.FPN', in_channels=[32, 64, 128], out_channels=channels,
        num_outs=3),
    language_model=dict(  # trained from nothing: it knows what it was told
        type='mmclip.GLIPBert', width=width, layers=2, heads=4,
        max_positions=64, max_tokens=64),
    bbox_head=dict(
        type='mmclip.GLIPHead', in_channels=channels, feat_channels=channels,
        language_dim=width, num_dyhead_blocks=2,
        dyconv=dict(use_dcn=False),  # thrice as fast on a CPU
        fusion=dict(embed_dim=128, num_heads=4),
        text_layer=dict(heads=4, intermediate=128),
        anchor_generator=dict(
            type='mmdet.AnchorGenerator', ratios=[1.0], octave_base_scale=4,
            scales_per_octave=1, strides=[8, 16, 32], center_offset=0.5),
        bbox_coder=dict(type='mmclip.GLIPBBoxCoder'),
        loss_cls=dict(type='mmclip.TokenFocalLoss'),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=2.0),
        loss_centerness=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=True)),
    train_cfg=dict(
        assigner=dict(
            type='mmdet.ATSSAssigner', topk=9,
            iou_calculator=dict(type='mmdet.BboxOverlaps2D_GLIP'))),
    test_cfg=dict(
        nms_pre=300, score_thr=0.01, max_per_img=50,
        nms=dict(iou_threshold=0.6, offset=1)))
