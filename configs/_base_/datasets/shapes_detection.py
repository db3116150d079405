# The shapes world as a detection task: trained on the boxes of base names
# alone, tested on base, novel and unseen names together. As in LVIS, novel
# objects stand in the training pictures too, without a label.
load = dict(type='LoadImageFromFile')  # for inference; scenes are drawn
pack = dict(
    type='mmdet.PackDetInputs',
    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
               'scale_factor', 'flip', 'flip_direction', 'instances', 'text',
               'custom_entities'))
annotations = dict(
    type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)
resize = dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True)

train_dataloader = dict(
    batch_size=8,
    num_workers=0,  # drawing a scene takes 3 ms: no worker is worth its start
    persistent_workers=False,
    sampler=dict(type='mmengine.InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmclip.ShapesDataset',
        num_images=4000,
        seed=0,
        objects_of=('base', ),
        unlabelled_of=('novel', ),
        classes_of=('base', ),
        pipeline=[
            annotations,
            resize,
            dict(type='mmdet.RandomFlip', prob=0.5),
            pack,
        ]))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ShapesDataset',
        num_images=200,
        seed=1,
        objects_of=('base', 'novel', 'unseen'),
        classes_of=('base', 'novel', 'unseen'),
        test_mode=True,
        pipeline=[load, resize, annotations, pack]))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmclip.OVCocoMetric', metric=['bbox', 'segm'])
test_evaluator = val_evaluator
