# A proposal network trained on the boxes of base names alone, for the shapes
# world: a minute on two CPU cores. tools/vild/dump_proposals.py runs it.
_base_ = [
    'mmdet::_base_/models/rpn_r50_fpn.py',
    '../_base_/datasets/shapes_detection.py',
    '../_base_/schedules/shapes_600.py', '../_base_/detection_runtime.py'
]
# all model types are mmdet's, but mmclip:// in the backbone's init_cfg is ours
custom_imports = dict(imports=['mmclip.models'])
max_iters = 300
channels = 64
model = dict(
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
        anchor_generator=dict(scales=[4])))
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
val_evaluator = dict(_delete_=True, type='mmclip.OVProposalRecall')
test_evaluator = val_evaluator
custom_hooks = [dict(type='mmclip.RNGStateHook')]
