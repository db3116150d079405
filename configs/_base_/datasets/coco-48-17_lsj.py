# COCO, 48 base and 17 novel classes (Bansal et al., 2018), with large-scale
# jittering: training reads the boxes of base classes alone.
data_root = 'data/coco/'
base_classes = 'coco-base-48'  # or your own names (mmclip/data/ov_classes.py)
novel_classes = 'coco-novel-17'
size = (1024, 1024)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmengine.RandomResize', scale=size, ratio_range=(0.1, 2.0),
         keep_ratio=True),
    dict(type='mmdet.RandomCrop', crop_type='absolute', crop_size=size,
         recompute_bbox=True, allow_negative_crop=True),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=size, keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                    'scale_factor', 'text', 'custom_entities')),
]
split = dict(type='mmclip.OVCocoDataset', data_root=data_root,
             base_classes=base_classes, novel_classes=novel_classes)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='mmengine.InfiniteSampler', shuffle=True),
    dataset=dict(
        **split, classes_of=('base', ), data_prefix=dict(img='train2017/'),
        ann_file='annotations/instances_train2017.json',
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        **split, data_prefix=dict(img='val2017/'), test_mode=True,
        ann_file='annotations/instances_val2017.json',
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmclip.OVCocoMetric', metric=['bbox', 'segm'],
    ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
