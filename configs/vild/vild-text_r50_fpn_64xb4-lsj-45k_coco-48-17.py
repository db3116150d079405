# ViLD-text on COCO (paper: AP50 novel 5.9, base 61.8, all 47.2). A quarter
# of the LVIS schedule: what the paper says of its length was not at hand.
_base_ = [
    '../_base_/models/vild-text_r50_fpn.py',
    '../_base_/datasets/coco-48-17_lsj.py', '../_base_/schedules/vild_180k.py',
    '../_base_/detection_runtime.py'
]
max_iters = 45000
train_cfg = dict(max_iters=max_iters, val_interval=15000)
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.01, by_epoch=False, begin=0,
         end=1000),
    dict(type='mmengine.MultiStepLR', by_epoch=False, begin=0, end=max_iters,
         milestones=[40500, 42750], gamma=0.1),
]
