# Image-text pairs, augmented as DeiT does (GroupViT's released configs:
# rand-m9-mstd0.5-inc1, erasing 0.25, crops of 0.08 to 1). timm leaves out
# colour jitter where RandAugment is on, and so do we.
ranges = dict(  # timm's increasing set; sideways and up and down below
    Rotate=(0, 30), Posterize=(4, 0), Solarize=(256, 0), SolarizeAdd=(0, 110),
    ColorTransform=(0, 0.9), Contrast=(0, 0.9), Brightness=(0, 0.9),
    Sharpness=(0, 0.9))
policies = [
    *(dict(type=f'mmpretrain.{name}')
      for name in ('AutoContrast', 'Equalize', 'Invert')),
    *(dict(type=f'mmpretrain.{name}', magnitude_range=reach)
      for name, reach in ranges.items()),
    *(dict(type=f'mmpretrain.{name}', magnitude_range=(0, reach),
           direction=direction)
      for name, reach in (('Shear', 0.3), ('Translate', 0.45))
      for direction in ('horizontal', 'vertical')),
]
augment = [
    dict(type='mmpretrain.RandomResizedCrop', scale=224,
         crop_ratio_range=(0.08, 1.0), backend='pillow',
         interpolation='bicubic'),
    dict(type='mmpretrain.RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='mmpretrain.RandAugment', policies=policies,
         num_policies=2, total_level=10, magnitude_level=9,
         magnitude_std=0.5,
         hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic')),
    dict(type='mmpretrain.RandomErasing', erase_prob=0.25, mode='rand',
         min_area_ratio=0.02, max_area_ratio=1 / 3,
         fill_color=[103.53, 116.28, 123.675],
         fill_std=[57.375, 57.12, 58.395]),
]
prompts = dict(type='mmclip.NounPrompts', num_prompts=3)  # K = 3
pack = [
    dict(type='mmclip.TokenizeSentences'),
    dict(type='mmclip.PackImageText'),
]
train_pipeline = [*augment, prompts, *pack]
caption_pipeline = [*augment, *pack]
train_dataloader = dict(
    batch_size=256,  # on 16 GPUs: 4096
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=None,  # the stream shares itself out over ranks and workers
    collate_fn=dict(type='mmclip.stack_samples'),
    dataset=dict(
        type='mmclip.ImageTextStream', data=None, shuffle=2000,
        pipeline=train_pipeline))
visualizer = dict(
    type='mmengine.Visualizer',
    vis_backends=[dict(type='mmengine.LocalVisBackend')])
val_evaluator = test_evaluator = None  # another config tests
