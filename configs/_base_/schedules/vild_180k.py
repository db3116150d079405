# ViLD's schedule (TF release): SGD, batch 256, 180,000 iterations, learning
# rate .32 after 1000 warm-up iterations, a tenth at 162k, a hundredth at 171k.
max_iters = 180000
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=max_iters,
                 val_interval=30000)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='SGD', lr=0.32, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0))
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.01, by_epoch=False, begin=0,
         end=1000),
    dict(type='mmengine.MultiStepLR', by_epoch=False, begin=0, end=max_iters,
         milestones=[162000, 171000], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=256)
