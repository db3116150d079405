# Photographs to sketch: set dataset.images (a file, a folder, a list), and
# dataset.masks where there are any.
pipeline = [
    dict(type='mmclip.CompositeOnWhite'),
    dict(type='mmclip.ApplyForegroundMask'),
    dict(type='mmclip.PadToWhiteSquare'),
    dict(type='mmclip.ResizeToCanvas', size=224),
    dict(type='mmclip.PackSketchInputs'),
]
train_dataloader = dict(
    batch_size=1, num_workers=0,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.SketchImageDataset', images='data/sketch',
        pipeline=pipeline))
test_dataloader = train_dataloader
test_evaluator = dict(type='mmclip.SketchInkStats')
