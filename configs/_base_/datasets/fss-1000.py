# FSS-1000: 520 classes to train on, 240 to validate, 240 to test.
load = [dict(type='LoadImageFromFile'),
        dict(_scope_='mmseg', type='LoadAnnotations')]
resize = dict(type='mmseg.Resize', scale=(480, 480), keep_ratio=False)
pack = dict(
    type='mmseg.PackSegInputs',
    meta_keys=('img_path', 'seg_map_path', 'ori_shape', 'img_shape',
               'pad_shape', 'scale_factor', 'class_id', 'text'))
data = dict(type='mmclip.FSS1000Dataset', data_root='data/FSS-1000')

train_dataloader = dict(
    batch_size=20, num_workers=4, persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=True),
    dataset=dict(**data, ann_file='trn.txt', pipeline=[*load, resize, pack]))
val_dataloader = dict(
    batch_size=1, num_workers=4, persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(**data, ann_file='test.txt', test_mode=True,
                 pipeline=[load[0], resize, load[1], pack]))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmclip.ZeroShotIoUMetric')
test_evaluator = val_evaluator
