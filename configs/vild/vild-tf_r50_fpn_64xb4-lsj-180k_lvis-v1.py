# ViLD of the TensorFlow release, vild_resnet.yaml (the release's README links
# this file's checkpoint to the other yaml): mask APr 16.6, APc 19.8, APf 28.2,
# AP 22.5.
_base_ = [
    '../_base_/models/vild-tf_r50_fpn.py',
    '../_base_/datasets/lvis-v1_lsj.py', '../_base_/pipelines/teacher_lsj.py',
    '../_base_/schedules/vild_180k.py', '../_base_/detection_runtime.py'
]
train_dataloader = dict(dataset=dict(pipeline={{_base_.teacher_pipeline}}))
custom_hooks = [
    dict(type='mmclip.VocabularyHook', with_novel=True),
    dict(type='mmclip.RNGStateHook'),
]
