# ViLD in DetPro's flavour and schedule, LVIS v1.
_base_ = [
    '../_base_/models/vild-detpro_r50_fpn.py',
    '../_base_/datasets/lvis-v1_detpro.py',
    '../_base_/pipelines/teacher_detpro.py',
    '../_base_/schedules/detpro_20e.py', '../_base_/epoch_runtime.py'
]
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline={{_base_.teacher_pipeline}})))
