# The runtime of every segmentor: names follow the dataset, mmseg draws.
_base_ = ['default_runtime.py']
default_scope = 'mmseg'
default_hooks = dict(visualization=dict(type='mmseg.SegVisualizationHook'))
visualizer = dict(
    type='mmseg.SegLocalVisualizer',
    vis_backends=[dict(type='mmengine.LocalVisBackend')])
custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.RNGStateHook'),
]
