# Drawn scenes on the packaged shapes-clip: half a minute on a CPU. It knows
# drawn shapes and nothing else, so give it no photograph. It never saw a black
# line either (such strokes shrink to dots): strokes have colour and width.
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
    stroke_init=dict(source='activation'),  # it has no attention
    width=3.0,
    optimise=('points', 'width', 'color'))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={
    'strokes.width': dict(lr_mult=0.1), 'strokes.color': dict(lr_mult=0.02)}))
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='mmclip.CompositeOnWhite'),
    dict(type='mmclip.ApplyForegroundMask'),
    dict(type='mmclip.PadToWhiteSquare'),
    dict(type='mmclip.ResizeToCanvas', size=size),
    dict(type='mmclip.PackSketchInputs'),
]))
test_dataloader = train_dataloader
train_cfg = dict(num_iters=300, eval_interval=10)
