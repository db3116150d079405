# 30 epochs of GCC3M, GCC12M and YFCC14M in batches of 4096 (sec. 4.1 and the
# released configs). Streams have no epochs, so all is counted in iterations.
pairs = 2891445 + 11156203 + 14615499
epoch = pairs // 4096
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=30 * epoch,
                 val_interval=10**9)
optim_wrapper = dict(
    type='mmengine.AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=1.6e-3, betas=(0.9, 0.999),
                   weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0,
                       flat_decay_mult=0),
    clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=4e-6 / 1.6e-3,
         by_epoch=False, end=2 * epoch),
    dict(type='mmengine.CosineAnnealingLR', eta_min=4e-5, by_epoch=False,
         begin=2 * epoch, end=30 * epoch),
]
auto_scale_lr = dict(enable=False, base_batch_size=4096)
