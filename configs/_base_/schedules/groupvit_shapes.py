# 600 iterations of 64 pairs: minutes on one CPU core.
max_iters = 600
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=max_iters,
                 val_interval=10**9)
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.98),
                   weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0,
                       flat_decay_mult=0),
    clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.02, by_epoch=False, end=60),
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False,
         end=max_iters),
]
