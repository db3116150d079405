# A quarter of vild_180k.py, for COCO: what the paper says of its length was
# not at hand.
_base_ = ['vild_180k.py']
max_iters = 45000
train_cfg = dict(max_iters=max_iters, val_interval=15000)
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.01, by_epoch=False, begin=0,
         end=1000),
    dict(type='mmengine.MultiStepLR', by_epoch=False, begin=0, end=max_iters,
         milestones=[40500, 42750], gamma=0.1),
]
