# The shapes world as a segmentation task: trained on the base names alone,
# tested on base, novel and unseen names together. What is no object is a
# class of its own.
pack = dict(
    type='mmseg.PackSegInputs',
    meta_keys=('img_path', 'seg_map_path', 'ori_shape', 'img_shape',
               'pad_shape', 'scale_factor', 'flip', 'flip_direction',
               'reduce_zero_label', 'text'))
load = dict(type='LoadImageFromFile')  # for inference; scenes are drawn
annotations = dict(_scope_='mmseg', type='LoadAnnotations')

train_dataloader = dict(
    batch_size=8,
    num_workers=0,  # drawing a scene takes 3 ms: no worker is worth its start
    persistent_workers=False,
    sampler=dict(type='mmengine.InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmclip.ShapesSegDataset',
        num_images=4000,
        seed=0,
        background='background',
        objects_of=('base', ),
        classes_of=('base', ),
        pipeline=[
            annotations,
            dict(type='mmseg.RandomFlip', prob=0.5),
            pack,
        ]))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ShapesSegDataset',
        num_images=200,
        seed=1,
        background='background',
        objects_of=('base', 'novel', 'unseen'),
        classes_of=('base', 'novel', 'unseen'),
        test_mode=True,
        pipeline=[load, annotations, pack]))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmclip.OVIoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
