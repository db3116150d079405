# GLIPv2 on ResNet-18 at a quarter of its width, for the shapes world: boxes,
# masks, phrases, answers and captions by one set of weights.
channels, width, ids = 64, 64, 56
anchors = dict(
    type='mmdet.AnchorGenerator', ratios=[1.0], octave_base_scale=4,
    scales_per_octave=1, strides=[8, 16, 32], center_offset=0.5)
model = dict(
    type='mmclip.GLIPv2',
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
        type='mmclip.GLIPBert', vocab_size=ids, width=width, layers=2,
        heads=4, max_positions=64, max_tokens=64, dropout=0.0),
    bbox_head=dict(
        type='mmclip.GLIPHead', in_channels=channels, feat_channels=channels,
        language_dim=width, num_dyhead_blocks=2,
        dyconv=dict(use_dcn=False),  # thrice as fast on a CPU
        fusion=dict(embed_dim=128, num_heads=4, dropout=0.0),
        text_layer=dict(heads=4, intermediate=128, dropout=0.0),
        anchor_generator=anchors,
        bbox_coder=dict(type='mmclip.GLIPBBoxCoder'),
        loss_cls=dict(type='mmclip.TokenFocalLoss'),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=2.0),
        loss_centerness=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=True)),
    mask_roi_extractor=dict(
        type='mmdet.SingleRoIExtractor', out_channels=channels,
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
        featmap_strides=[8, 16, 32], finest_scale=28),
    mask_head=dict(
        type='mmclip.VLMaskHead', num_convs=2, in_channels=channels,
        conv_out_channels=channels, language_dim=width),
    contrast_loss=dict(
        type='mmclip.InterImageRegionWordLoss', region_dim=channels,
        word_dim=width),
    masked_word_head=dict(
        type='mmclip.MaskedWordHead', language_dim=width, vocab_size=ids),
    caption_head=dict(
        type='mmclip.CaptionHead', language_dim=width, vocab_size=ids,
        max_length=24),
    train_cfg=dict(
        assigner=dict(
            type='mmdet.ATSSAssigner', topk=9,
            iou_calculator=dict(type='mmdet.BboxOverlaps2D_GLIP'))),
    test_cfg=dict(
        nms_pre=300, score_thr=0.01, max_per_img=50, rows_per_pass=48,
        nms=dict(iou_threshold=0.6, offset=1)))
