# What every run of ours has; types carry their prefix, so that the file
# means the same when another package inherits it.
default_hooks = dict(
    timer=dict(type='mmengine.IterTimerHook'),
    logger=dict(type='mmengine.LoggerHook', interval=50),
    param_scheduler=dict(type='mmengine.ParamSchedulerHook'),
    checkpoint=dict(
        type='mmengine.CheckpointHook', by_epoch=False, interval=1000,
        max_keep_ckpts=3),  # two stay whole if the third is cut off
    sampler_seed=dict(type='mmengine.DistSamplerSeedHook'))
custom_hooks = [dict(type='mmclip.RNGStateHook')]
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
log_processor = dict(type='mmengine.LogProcessor', window_size=50,
                     by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
