# No training at all: shapes-clip's own dense embeddings, compared with names.
# mmclip test configs/lseg/clip-dense_shapes-clip_shapes.py none
_base_ = ['lseg_shapes-clip-dpt_shapes.py']
model = dict(
    backbone=dict(
        _delete_=True, type='mmclip.DenseCLIPEncoder', model='shapes-clip',
        attention='values', zoom=2),  # a ViT also has 'self'
    neck=None,
    decode_head=dict(
        _delete_=True, type='mmclip.CLIPDenseHead', logit_scale=37,
        vocabulary={{_base_.vocabulary}},
        background=dict(kind='threshold', threshold=0.6)))
