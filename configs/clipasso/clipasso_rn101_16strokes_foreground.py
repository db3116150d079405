# The photograph keeps its background; the loss wants paper there instead.
# Relevance: masks of the dataset (masks=...), else what stands out from the
# border of the picture; source='name' asks CLIP for the class_names.
_base_ = './clipasso_rn101_16strokes.py'
model = dict(
    losses=[
        dict(type='mmclip.ForegroundWeightedLoss',
             layers=dict(layer2=1.0, layer3=1.0), semantic=0.1),
    ])
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='mmclip.CompositeOnWhite'),
    dict(type='mmclip.ApplyForegroundMask', whiten=False),
    dict(type='mmclip.ResizeToCanvas', size=224),
    dict(type='mmclip.PackSketchInputs'),
]))
