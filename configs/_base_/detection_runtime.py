# The runtime of every detector: names follow the dataset, mmdet draws.
_base_ = ['default_runtime.py']
default_scope = 'mmdet'
default_hooks = dict(visualization=dict(type='mmdet.DetVisualizationHook'))
visualizer = dict(
    type='mmdet.DetLocalVisualizer',
    vis_backends=[dict(type='mmengine.LocalVisBackend')])
custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.RNGStateHook'),
]
