# The shapes world as a grounding task: captions whose phrases have boxes.
# `mmclip shapes odvg data/shapes_odvg --images 2000` writes the scenes.
tokenizer = dict(
    type='mmclip.CLIPSpanTokenizer', source='shapes-clip', max_tokens=64)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.GTBoxSubOne_GLIP'),
    dict(type='mmdet.RandomFlip_GLIP', prob=0.5),
    dict(type='mmclip.PackNegativeCaptions', tokenizer=tokenizer,
         captions='data/shapes_odvg/grounding.jsonl', num=2),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                    'scale_factor', 'text', 'tokens_positive',
                    'tokens_ignored')),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmclip.PackNegativeCaptions', tokenizer=tokenizer),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                    'scale_factor', 'text', 'tokens_positive', 'phrases')),
]
grounded = dict(
    type='mmdet.ODVGDataset',
    data_root='data/shapes_odvg/',
    ann_file='grounding.jsonl',
    data_prefix=dict(img='images/'),
    return_classes=True)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='mmengine.InfiniteSampler', shuffle=True),
    dataset=dict(**grounded, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(**grounded, test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmclip.Flickr30kRecall')
test_evaluator = val_evaluator
