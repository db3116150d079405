# GLIPv2 on the shapes world: five tasks, one set of weights, minutes on a CPU.
_base_ = [
    '../_base_/models/glipv2_shapes.py',
    '../_base_/datasets/shapes_tasks.py',
    '../_base_/schedules/shapes_600.py', '../_base_/detection_runtime.py'
]
model = dict(
    language_model=dict(tokenizer={{_base_.tokenizer}}),
    vqa_head=dict(  # answers compete: it learns from fewer questions so
        type='mmclip.VQAHead', answers={{_base_.answers}}, language_dim=64,
        loss_type='ce', dropout=0.0))
max_iters = 1200
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
custom_hooks = [dict(type='mmclip.RNGStateHook')]  # captions have no classes
val_evaluator = [
    dict(type='mmclip.OfTask', task='detection', metric=dict(
        type='mmclip.OVCocoMetric', metric=['bbox', 'segm'])),
    dict(type='mmclip.OfTask', task='grounding', metric=dict(
        type='mmclip.Flickr30kRecall')),
    dict(type='mmclip.OfTask', task='vqa', metric=dict(
        type='mmclip.VQAAccuracy')),
    dict(type='mmclip.OfTask', task='caption', metric=dict(
        type='mmclip.CaptionScores', candidates=20)),
]
test_evaluator = val_evaluator
