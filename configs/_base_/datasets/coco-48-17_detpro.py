# COCO, 48 base and 17 novel classes, in DetPro's scales (Du et al., 2022;
# detpro's configs): the shorter side from 640 to 800, the longer up to 1333.
_base_ = ['coco-48-17_lsj.py']
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmengine.RandomChoiceResize', keep_ratio=True,
         scales=[(1333, s) for s in (640, 672, 704, 736, 768, 800)]),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                    'scale_factor', 'text', 'custom_entities')),
]
train_dataloader = dict(
    batch_size=2, num_workers=2,
    sampler=dict(_delete_=True, type='mmengine.DefaultSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
