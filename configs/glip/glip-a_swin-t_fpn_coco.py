# GLIP-T (A): no fusion. Zero-shot on COCO 42.9 AP, fine-tuned 52.9 (paper,
# table 2). Data, pipelines and schedule are mmdet's fine-tuning recipe.
_base_ = [
    'mmdet::glip/glip_atss_swin-t_a_fpn_dyhead_16xb2_ms-2x_funtune_coco.py'
]
model = dict(
    type='mmclip.GLIPDetector',
    language_model=dict(
        _delete_=True, type='mmclip.GLIPBert',
        vocab_file='data/bert-base-uncased/vocab.txt'),
    bbox_head=dict(
        _delete_=True, type='mmclip.GLIPHead', early_fuse=False,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator', ratios=[1.0], octave_base_scale=8,
            scales_per_octave=1, strides=[8, 16, 32, 64, 128],
            center_offset=0.5),
        bbox_coder=dict(type='mmclip.GLIPBBoxCoder'),
        loss_cls=dict(type='mmclip.TokenFocalLoss'),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=2.0),
        loss_centerness=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=True,
            loss_weight=1.0)),
    test_cfg=dict(nms=dict(iou_threshold=0.6, offset=1)))
load_from = None
custom_hooks = [dict(type='mmclip.RNGStateHook')]
val_evaluator = dict(
    _delete_=True, type='mmdet.CocoMetric', metric='bbox',
    ann_file='data/coco/annotations/instances_val2017.json')
test_evaluator = val_evaluator
