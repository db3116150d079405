# ImageNet's 50 000 validation images: shorter side 256, the middle 224.
val_dataloader = dict(
    batch_size=64, num_workers=4, persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmpretrain.ImageNet', data_root='data/imagenet', split='val',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmpretrain.ResizeEdge', scale=256, edge='short',
                 backend='pillow', interpolation='bicubic'),
            dict(type='mmpretrain.CenterCrop', crop_size=224),
            dict(type='mmpretrain.PackInputs'),
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmpretrain.Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
