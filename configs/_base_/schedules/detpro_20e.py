# DetPro's schedule, of its ViLD too (detpro's configs): SGD, batch 16, 20
# epochs, a tenth of the learning rate after 16. The warm-up is mmdet's.
max_epochs = 20
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=max_epochs,
                 val_interval=max_epochs)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=2.5e-5))
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.001, by_epoch=False,
         begin=0, end=500),
    dict(type='mmengine.MultiStepLR', by_epoch=True, begin=0, end=max_epochs,
         milestones=[16], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
