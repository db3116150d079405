# The proposal network of ViLD's distillation: trained on the boxes of LVIS's
# 866 base classes alone (sec. 3.2; base-only AR@100/300/1000 of the paper:
# 39.3, 48.3, 55.6). Schedule and backbone are mmdet's; not run at scale.
_base_ = [
    'mmdet::_base_/models/rpn_r50_fpn.py',
    '../_base_/datasets/lvis-v1_lsj.py',
    'mmdet::_base_/schedules/schedule_2x.py', '../_base_/detection_runtime.py'
]
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    rpn_head=dict(num_convs=2),  # as the TF release
    test_cfg=dict(rpn=dict(nms_pre=2000, max_per_img=1000)))
train_dataloader = dict(batch_size=2, sampler=dict(
    _delete_=True, type='mmengine.DefaultSampler', shuffle=True))
val_evaluator = dict(
    _delete_=True, type='mmclip.OVProposalRecall',
    ann_file={{_base_.val_evaluator.ann_file}})
test_evaluator = val_evaluator
