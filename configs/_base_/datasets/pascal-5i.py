# PASCAL-5i, two names an image: train on the other folds, test on `fold`.
fold = 0
load = [dict(type='LoadImageFromFile'),
        dict(_scope_='mmseg', type='LoadAnnotations')]
resize = dict(type='mmseg.Resize', scale=(480, 480), keep_ratio=False)
pack = dict(
    type='mmseg.PackSegInputs',
    meta_keys=('img_path', 'seg_map_path', 'ori_shape', 'img_shape',
               'pad_shape', 'scale_factor', 'class_id', 'text'))
dataset = dict(
    type='mmclip.PASCAL5iDataset', fold=fold, data_root='data/VOCdevkit',
    data_prefix=dict(img_path='VOC2012/JPEGImages',
                     seg_map_path='VOC2012/SegmentationClassAug'))

train_dataloader = dict(
    batch_size=20, num_workers=4, persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=True),
    dataset=dict(**dataset, split='train', ann_file='pascal-5i/train.txt',
                 keep_ignored=False, pipeline=[*load, resize, pack]))
val_dataloader = dict(
    batch_size=1, num_workers=4, persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='test', ann_file='pascal-5i/test.txt',
                 num_images=1000, test_mode=True,
                 pipeline=[load[0], resize, load[1], pack]))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmclip.ZeroShotIoUMetric')
test_evaluator = val_evaluator
