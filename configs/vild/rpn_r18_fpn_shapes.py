# A proposal network trained on the boxes of base names alone, for the shapes
# world: two minutes on two CPU cores. tools/vild/dump_proposals.py runs it.
_base_ = ['vild_r18_fpn_shapes.py']
# all model types are mmdet's, but mmclip:// in the backbone's init_cfg is ours
custom_imports = dict(imports=['mmclip.models'])
max_iters = 300
model = dict(
    _delete_=True, type='mmdet.RPN',
    data_preprocessor={{_base_.model.data_preprocessor}},
    backbone={{_base_.model.backbone}}, neck={{_base_.model.neck}},
    rpn_head={{_base_.model.rpn_head}},
    train_cfg=dict(rpn={{_base_.model.train_cfg.rpn}}),
    test_cfg=dict(rpn=dict(
        nms_pre=1000, max_per_img=1000, min_bbox_size=0,
        nms=dict(type='nms', iou_threshold=0.7))))
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
val_evaluator = dict(
    _delete_=True, type='mmdet.CocoMetric', metric='proposal')
test_evaluator = val_evaluator
custom_hooks = [dict(type='mmclip.RNGStateHook')]
