# From 32 strokes to as many as the image needs; abstraction says how few.
_base_ = './clipasso_rn101_32strokes.py'
model = dict(
    losses=[
        dict(type='mmclip.CLIPGeometricLoss',
             layers=dict(layer2=1.0, layer3=1.0)),
        dict(type='mmclip.CLIPSemanticLoss', loss_weight=0.1),
        dict(type='mmclip.StrokeCountLoss', abstraction=0.05, warmup=400,
             gating=1000),
    ])
