# SGD for batches of 16, the neck and head ten times as fast as the backbone
# (the read-out and resizing belong to the backbone there), polynomial decay
# by epoch. From the released code; the article gives no more than SGD,
# momentum 0.9 and polynomial 0.9 (sec. 5.1).
_base_ = ['../segmentation_runtime.py']  # that counts iterations
max_epochs = 240
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=max_epochs,
                 val_interval=max_epochs)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='SGD', lr=0.004, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={
        'neck.reassemble': dict(lr_mult=1),
        'neck': dict(lr_mult=10),
        'decode_head': dict(lr_mult=10)}))
param_scheduler = [
    dict(type='mmengine.PolyLR', power=0.9, eta_min=0, by_epoch=True,
         begin=0, end=max_epochs)]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(
    checkpoint=dict(type='mmengine.CheckpointHook', by_epoch=True, interval=5))
log_processor = dict(by_epoch=True)
