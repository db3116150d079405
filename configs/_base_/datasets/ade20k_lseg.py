# ADE20K as LSeg trains on it: longer side 260 to 1040, crops of 480, padded
# with black and ignored labels; tested at the images' own size.
_base_ = ['mmseg::_base_/datasets/ade20k.py']
load = [dict(type='LoadImageFromFile'),
        dict(_scope_='mmseg', type='LoadAnnotations', reduce_zero_label=True)]
train_pipeline = [
    *load,
    dict(type='mmengine.RandomResize', scale=(520, 520),
         ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(480, 480)),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [*load, dict(type='mmseg.PackSegInputs')]
train_dataloader = dict(
    batch_size=2,
    sampler=dict(_delete_=True, type='mmengine.DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
