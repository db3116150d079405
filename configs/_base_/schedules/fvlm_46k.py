# F-VLM's schedule (release, fvlm_train_and_eval.gin): SGD, batch 256, 46,100
# iterations, learning rate .36 after 100 warm-up iterations, a tenth each at
# 80, 90 and 95 per cent.
_base_ = ['vild_180k.py']
max_iters = 46100
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=0.36, weight_decay=1e-4))
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.0032 / 0.36, by_epoch=False,
         begin=0, end=100),
    dict(type='mmengine.MultiStepLR', by_epoch=False, begin=0, end=max_iters,
         milestones=[36880, 41490, 43795], gamma=0.1),
]
