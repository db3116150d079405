# GLIP on the shapes world: minutes on two CPU cores.
_base_ = [
    '../_base_/models/glip_shapes.py',
    '../_base_/datasets/shapes_grounding.py',
    '../_base_/schedules/shapes_600.py', '../_base_/detection_runtime.py'
]
model = dict(
    language_model=dict(tokenizer={{_base_.tokenizer}}, vocab_size=66))
custom_hooks = [dict(type='mmclip.RNGStateHook')]  # captions have no classes
