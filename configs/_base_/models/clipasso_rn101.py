# CLIPasso as its release runs it (Vinker et al., SIGGRAPH 2022, sec. 4).
clip = dict(  # all losses look through it
    model='RN101-quickgelu', init_cfg=dict(
        type='Pretrained', checkpoint='mmclip://RN101-quickgelu/openai'))
saliency_clip = dict(  # says where strokes start, sec. 4.2
    model='ViT-B-32-quickgelu', init_cfg=dict(
        type='Pretrained', checkpoint='mmclip://ViT-B-32-quickgelu/openai'))
model = dict(
    type='mmclip.CLIPassoSketcher',
    clip=clip,
    saliency_clip=saliency_clip,
    losses=[
        # layers 3 and 4 of [stem, layer1, ..., layer4], eq. 2
        dict(type='mmclip.CLIPGeometricLoss',
             layers=dict(layer2=1.0, layer3=1.0)),
        dict(type='mmclip.CLIPSemanticLoss', loss_weight=0.1),  # eq. 3, 4
    ],
    augment=dict(type='mmclip.PairedAugment', num_views=4),  # sec. 4.1
    rasterizer=dict(type='mmclip.AnalyticRasterizer'),
    stroke_init=dict(type='mmclip.SaliencyStrokeInit'),
    num_strokes=16,
    num_seeds=3,
    width=1.5)  # half of the 3 pixels that are seen
