# The runtime of a run that makes sketches: one step is one iteration, a batch
# of images an epoch.
_base_ = ['default_runtime.py']
default_scope = 'mmclip'
default_hooks = dict(
    logger=dict(interval=100), checkpoint=dict(interval=100))
custom_hooks = [
    dict(type='mmclip.RNGStateHook'),
    dict(type='mmclip.SketchStateHook'),
    dict(type='mmclip.SketchExportHook'),
    dict(type='mmclip.SketchVisualizationHook'),
]
visualizer = dict(
    type='mmengine.Visualizer',
    vis_backends=[dict(type='mmengine.LocalVisBackend')])
train_cfg = dict(
    type='mmclip.SketchTrainLoop',
    evaluator=dict(type='mmclip.SketchInkStats'))
val_cfg = val_dataloader = val_evaluator = None  # the loop evaluates
test_cfg = dict(type='mmengine.TestLoop')
# Adam, lr 1.0, as the release; its paper says no more than "gradients"
optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='Adam', lr=1.0))
param_scheduler = []
randomness = dict(seed=0)
