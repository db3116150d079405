# Stroke by stroke: every beginning of the drawing is a sketch.
_base_ = './clipasso_rn101_16strokes.py'
model = dict(
    losses=[
        dict(type='mmclip.CLIPGeometricLoss',
             layers=dict(layer2=1.0, layer3=1.0)),
        dict(type='mmclip.CLIPSemanticLoss', loss_weight=0.1),
        dict(type='mmclip.NestedStrokeLoss', arrange_at=(300, 800)),
    ])
