# ViLD on COCO with the release's layers (paper, w = 0.5: AP50 novel 27.6,
# base 59.5, all 51.3).
_base_ = [
    '../_base_/models/vild-tf_r50_fpn.py',
    '../_base_/datasets/coco-48-17_lsj.py',
    '../_base_/pipelines/teacher_lsj.py', '../_base_/schedules/vild_45k.py',
    '../_base_/detection_runtime.py'
]
train_dataloader = dict(dataset=dict(pipeline={{_base_.teacher_pipeline}}))
custom_hooks = [
    dict(type='mmclip.VocabularyHook', with_novel=True),
    dict(type='mmclip.RNGStateHook'),
]
