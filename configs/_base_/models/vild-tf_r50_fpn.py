# ViLD as in the TensorFlow release (tensorflow/tpu, detection/projects/vild),
# layer by layer, so that its checkpoints can be converted: a norm after every
# layer of box and mask head, one for each level in the RPN, after the outputs
# of the FPN; boxes that include their last pixel; TensorFlow's padding.
_base_ = ['vild-text_r50_fpn.py']
norm = dict(type='SyncBN', requires_grad=True, eps=1e-4, momentum=0.003)
extractor = dict(_delete_=True, type='mmclip.ViLDRoIExtractor',
                 out_channels=256, featmap_strides=[4, 8, 16, 32, 64])

model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),
    backbone=dict(type='mmclip.ViLDResNet', norm_cfg=norm,
                  zero_init_residual=False),
    neck=dict(type='mmclip.ViLDFPN', norm_cfg=norm),
    rpn_head=dict(
        type='mmclip.ViLDRPNHead', norm_cfg=norm,
        anchor_generator=dict(center_offset=0.5, ratios=[1.0, 0.5, 2.0]),
        bbox_coder=dict(type='mmclip.ViLDBBoxCoder'),
        loss_bbox=dict(type='mmclip.MeanHuberLoss', delta=1 / 9)),
    roi_head=dict(
        image_head='shared',
        loss_distill=dict(type='mmclip.EmbeddingL1Loss', loss_weight=0.5),
        bbox_roi_extractor=dict(output_size=7, **extractor),
        bbox_head=dict(
            type='mmclip.ViLDConvFCBBoxHead', norm_cfg=norm,
            bbox_coder=dict(type='mmclip.ViLDBBoxCoder'),
            # each rare name stays in the softmax with a logit of 0
            loss_cls=dict(_delete_=True, novel_policy='zero',
                          type='mmclip.OpenVocabCrossEntropyLoss'),
            loss_bbox=dict(type='mmclip.MeanHuberLoss', delta=1.0)),
        mask_roi_extractor=dict(output_size=14, **extractor),
        mask_head=dict(type='mmclip.ViLDMaskHead', norm_cfg=norm)),
    train_cfg=dict(rpn_proposal=dict(min_bbox_size=-1)),
    test_cfg=dict(
        rpn=dict(min_bbox_size=-1),
        rcnn=dict(score_thr=0.0, nms=dict(type='mmclip.TopFirstNMS'))))
