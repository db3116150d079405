# The shapes world as image-text pairs: captioned scenes of one to three plain
# objects, base and novel names, no box and no mask.
size, radius, objects = 48, (0.16, 0.32), (1, 3)
templates = [
    'a photo of {article} {}.', 'a drawing of {article} {}.',
    'there is {article} {} in the scene.', 'this is {article} {}.',
    'an image of {article} {}.', 'a picture of {article} {}.'
]
train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # drawing a scene takes a millisecond
    persistent_workers=False,
    sampler=dict(type='mmengine.InfiniteSampler', shuffle=False),
    collate_fn=dict(type='mmclip.stack_samples'),
    dataset=dict(
        type='mmclip.ShapesPairDataset',
        num_images=1000000,
        seed=0,
        size=size,
        radius=radius,
        objects=objects,
        vocabulary='shapes-solid',
        pipeline=[
            dict(type='mmclip.NounPrompts', num_prompts=2, templates=templates,
                 extractor='phrases',
                 left_out=('photo', 'picture', 'image', 'drawing', 'scene')),
            dict(type='mmclip.TokenizeSentences', context_length=48,
                 tokenizer='shapes'),
            dict(type='mmclip.PackImageText'),
        ]))
visualizer = dict(
    type='mmengine.Visualizer',
    vis_backends=[dict(type='mmengine.LocalVisBackend')])
val_evaluator = test_evaluator = None  # another config tests
