# Drawn scenes on the packaged shapes-clip: seconds on a CPU. It knows drawn
# shapes and nothing else, so give it no photograph.
_base_ = ['../_base_/models/clipasso_rn101.py',
          '../_base_/datasets/sketch_photos.py',
          '../_base_/sketch_runtime.py']
size = 96
clip = dict(_delete_=True, model='shapes-clip')
model = dict(
    clip=clip,
    saliency_clip=None,
    losses=[
        dict(type='mmclip.CLIPGeometricLoss',
             layers=dict(layer1=1.0, layer2=1.0)),
        dict(type='mmclip.CLIPSemanticLoss', loss_weight=0.1),
    ],
    augment=dict(size=size),
    stroke_init=dict(source='activation'))  # it has no attention
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='mmclip.CompositeOnWhite'),
    dict(type='mmclip.ApplyForegroundMask'),
    dict(type='mmclip.PadToWhiteSquare'),
    dict(type='mmclip.ResizeToCanvas', size=size),
    dict(type='mmclip.PackSketchInputs'),
]))
test_dataloader = train_dataloader
train_cfg = dict(num_iters=300, eval_interval=10)
