# Pascal VOC 2012, 20 names and the background; the shorter side is 448.
load = [dict(type='LoadImageFromFile'),
        dict(type='mmseg.Resize', scale=(2048, 448), keep_ratio=True)]
val_dataloader = dict(
    batch_size=1, num_workers=4, persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OVSegVOCDataset', data_root='data/VOCdevkit/VOC2012',
        data_prefix=dict(img_path='JPEGImages',
                         seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt', test_mode=True,
        pipeline=[*load, dict(_scope_='mmseg', type='LoadAnnotations'),
                  dict(type='mmseg.PackSegInputs')]))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
