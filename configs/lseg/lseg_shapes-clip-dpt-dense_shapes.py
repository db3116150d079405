# The same training; in testing shapes-clip's own dense scores are added, which
# know the names that no mask has taught.
_base_ = ['lseg_shapes-clip-dpt_shapes.py']
model = dict(
    dense=dict(
        encoder=dict(type='mmclip.CLIPImageEncoder', model='shapes-clip'),
        zoom=2, weight=1, logit_scale=37))
